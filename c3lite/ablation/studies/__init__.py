"""Studies beside the paper's tables.

`stand_ins`: what takes the place of rounding while latents are fitted. `network_transfer`: how well
the networks of one image serve another. `decode_time`: what decoding takes, by component.
`cool_chic`: whole images beside what versions of Cool-Chic published.
"""
