"""What a config names: activations, upsampling kernels, distributions, noise, optimizers,
initializations.

Each ingredient is defined in one file, with all that training, decoding, counting and the files
need of it, and is found by its name in the table at the end of that file. The place in the table
is the ingredient's number in files: append only.
"""
