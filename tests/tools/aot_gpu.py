"""Compile c3lite's programs for an NVIDIA GPU on a machine that has none, and say what they take.

`make gpu-check` sets up an environment of its own (JAX's CUDA plugin, some 6 GB) and runs this for
all targets. JAX compiles for a *described* device, no driver needed. Nothing is run and nothing is
autotuned: kernels, bytes and memory are the compiler's own, and a call of a library is not tried.
Finished programs are kept in .cache/gpu-check, so that a run that was stopped goes on; the page is
ablations/results/gpu_compiled.md.
"""
import argparse
import collections
import functools
import json
import math
import os
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]

os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")  # asks the driver
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # what is run, is run here
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# ---------------------------------------------------------------------------------- the devices


def _rates(unit, rates):
    return f"  {unit} {{\n" + "".join(
        f"    rate_infos {{ key: {k} value {{ clock_rate_ghz: {c} units_per_core: {u} "
        f"ops_per_clock: {o} }} }}\n" for k, c, u, o in rates) + "  }\n"


# As openxla/xla describes them: xla/backends/gpu/target_config/specs/*.txtpb (key 11: float32)
HOPPER = _rates("scalar_unit_description", [
    (4, 1.98, 64, 1), (8, 1.98, 64, 1), (10, 1.98, 128, 2), (11, 1.98, 128, 1), (12, 1.98, 64, 1),
    (16, 1.98, 128, 2)]) + _rates("matrix_unit_description", [
        (2, 1.8295201, 4, 1024), (10, 1.8295201, 4, 512), (11, 1.8295201, 4, 256),
        (12, 1.98, 4, 32), (16, 1.8295201, 4, 512)])

DEVICES = {  # cores, fpus, B/s, L2, GHz, memory, shared a core, shared a block, capability
    "h100": ("NVIDIA H100 80GB HBM3", 132, 128, 3352320000000, 52428800, 1.98, 84942979072,
             233472, 232448, 9, HOPPER),
    "h200": ("NVIDIA H200 141GB HBM3e", 132, 128, 4800000000000, 52428800, 1.98, 151397597184,
             233472, 232448, 9, HOPPER),
    "a100": ("NVIDIA A100-SXM4-80GB", 108, 64, 2039040000000, 41943040, 1.41, 85100068864,
             167936, 166912, 8, ""),
    "v100": ("Tesla V100-SXM2-16GB", 80, 64, 898048000000, 6291456, 1.53, 16935682048,
             98304, 98304, 7, ""),
}

TENSOR_TFLOPS = {"h100": 495, "h200": 495, "a100": 156, "v100": math.inf}
"""Of dense products of TF32, by the data sheets; a V100 has none, and no fused kernels."""
PASSES = 3
"""Products of TF32 for one of float32 (`fused.PRODUCTS`)."""


def target_config(name):
    """The device as a text proto `stream_executor.GpuTargetConfigProto`."""
    (text, cores, fpus, bandwidth, l2, clock, memory, shared, optin, major, rates) = DEVICES[name]
    return f"""gpu_device_info {{
  threads_per_block_limit: 1024  threads_per_warp: 32
  shared_memory_per_block: 49152  shared_memory_per_core: {shared}
  threads_per_core_limit: 2048  core_count: {cores}  fpus_per_core: {fpus}
  block_dim_limit_x: 2147483647  block_dim_limit_y: 65535  block_dim_limit_z: 65535
  memory_bandwidth: {bandwidth}  l2_cache_size: {l2}  clock_rate_ghz: {clock}
  device_memory_size: {memory}  shared_memory_per_block_optin: {optin}
  cuda_compute_capability {{ major: {major} }}
  registers_per_core_limit: 65536  registers_per_block_limit: 65536
  driver_version: "13.0.0"  runtime_version: "12.9.0"  compile_time_toolkit_version: "12.9.0"
  dnn_version: "9.10.0"
{rates}}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 0 }}
runtime_version {{ major: 12 minor: 8 patch: 0 }}
device_description_str: "{text}"
"""


def sharding_of(name):
    """Where arguments are to lie: on a device that is not there."""
    from jax.experimental import topologies
    from jax.sharding import SingleDeviceSharding

    topology = topologies.get_topology_desc(
        platform="cuda", target_config=target_config(name), topology="1x1x1")
    return SingleDeviceSharding(topology.devices[0])


# --------------------------------------------------------------------------------- the programs


def programs():
    """Name to a function of a sharding that gives (jitted function, its arguments)."""
    import jax
    import jax.numpy as jnp

    import c3lite as c3
    from c3lite.fitting import batch, loop, parameters, training


    def structs(tree, where):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=where), tree)

    def state_of(config, shape):
        return jax.eval_shape(lambda key, mean: training.start(config, shape, key, mean),
                              jax.random.key(0), jnp.zeros(3))

    def one(config, shape, where):
        x = jax.ShapeDtypeStruct((3, *shape), jnp.float32, sharding=where)
        n = jax.ShapeDtypeStruct((), jnp.int32, sharding=where)
        return loop.run_chunk, (structs(state_of(config, shape), where), config, x, n)

    def many(configs, shape, where):
        axes, b = batch.config_axes(configs), len(configs)
        config = jax.tree.map(
            lambda axis, *values: values[0] if axis is None else
            jax.ShapeDtypeStruct((b,), jnp.asarray(values[0]).dtype, sharding=where),
            axes, *configs, is_leaf=lambda leaf: leaf is None)
        state = state_of(configs[0], shape)
        state = jax.tree.map(lambda a: jax.ShapeDtypeStruct((b, *a.shape), a.dtype), state
                             )._replace(step=state.step)
        x = jax.ShapeDtypeStruct((b, 3, *shape), jnp.float32, sharding=where)
        n = jax.ShapeDtypeStruct((), jnp.int32, sharding=where)
        return functools.partial(batch.run_chunk_many.trace, axes=axes), (
            structs(state, where), config, x, n)

    def searched(config, shape, where):
        x = jax.ShapeDtypeStruct((3, *shape), jnp.float32, sharding=where)
        return parameters.search, (structs(state_of(config, shape).codec, where), config, x)

    kodak, clic = (512, 768), (1370, 2048)
    patches = {"p30": (30, 180, 240), "p60": (60, 180, 240), "p75": (75, 270, 320)}
    e1, e2, e3 = (c3.ADAPTIVE_UVG[i] for i in (0, 3, 6))
    e3 = c3.edit(e3, mask_origins=((-2, -2),) * 3)

    def weights(config, count):
        return [c3.edit(config, rd_weight=1e-4 * (i + 1)) for i in range(count)]

    table = {}
    for name, config in {"c3": c3.C3, "fast": c3.C3_FAST, "beyond": c3.BEYOND,
                         "coolchic2": c3.COOL_CHIC_V2}.items():
        table[name] = functools.partial(one, config, kodak)
        table[f"{name}-search"] = functools.partial(searched, config, kodak)
        table[f"{name}-batch32"] = functools.partial(many, weights(config, 32), kodak)
    table["clic"] = functools.partial(one, c3.C3_CLIC, clic)
    table["clic-batch8"] = functools.partial(many, weights(c3.C3_CLIC, 8), clic)
    for size, shape in patches.items():
        for e, config in (("e1", e1), ("e2", e2), ("e3", e3)):
            table[f"uvg-{e}-{size}"] = functools.partial(one, config, shape)
    return table


# --------------------------------------------------------------------------------- the numbers

SHAPE = re.compile(r"(pred|[suf]\d+|bf16|c64)\[([\d,]*)\]")
BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4,
         "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8}
FREE = {"parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "iota",
        "partition-id", "replica-id", "opt-barrier", "optimization-barrier", "domain",
        "add-dependency"}


def nbytes(text):
    total = 0
    for kind, dims in SHAPE.findall(text):
        n = 1
        for d in filter(None, dims.split(",")):
            n *= int(d)
        total += n * BYTES.get(kind, 4)
    return total


def parse(text):
    """Computations of an HLO text: name to a list of (name, type, opcode, rest)."""
    found, current, entry = {}, None, None
    for line in text.splitlines():
        if m := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$", line):
            current = found[m[2]] = []
            entry = m[2] if m[1] else entry
        elif current is not None and (m := re.match(
                r"\s+(?:ROOT )?%?([\w.\-]+) = (\(.*?\)|\S+) ([\w\-]+)\((.*)$", line)):
            current.append((m[1], m[2], m[3], m[4]))
    return found, entry


def traffic(comps, types, out, code, rest):
    """Bytes that a kernel reads and writes: of an argument that is only sliced, the slices; of one
    updated in place, the update."""
    args = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
    full = nbytes(out) + sum(nbytes(types.get(a, "")) for a in args)
    if code == "dynamic-update-slice":
        return 2 * nbytes(types.get(args[1], ""))
    if code != "fusion":
        return full
    inner = comps.get(re.search(r"calls=%?([\w.\-]+)", rest)[1], [])
    kinds = {n: (t, c, re.findall(r"%([\w.\-]+)", r.split("), ")[0])) for n, t, c, r in inner}
    names = {int(r.split(")")[0]): n for n, _, c, r in inner if c == "parameter"}

    def source(n):
        while n in kinds and kinds[n][1] in ("bitcast", "reshape", "copy") and kinds[n][2]:
            n = kinds[n][2][0]
        return n

    in_place = {source(a[0]): nbytes(kinds[a[1]][0]) if a[1] in kinds else 0
                for t, c, a in kinds.values() if c == "dynamic-update-slice" and len(a) > 1}
    total = 0
    for i, a in enumerate(args):
        whole, param = nbytes(types.get(a, "")), names.get(i)
        if param in in_place:
            total += 2 * in_place[param] - whole  # the output, counted whole below, is this array
            continue
        users = [(t, c) for t, c, used in kinds.values() if param in map(source, used)
                 and c not in ("bitcast", "reshape")]
        if users and all(c in ("slice", "dynamic-slice") for _, c in users):
            whole = min(whole, sum(nbytes(t) for t, _ in users))
        total += whole
    return max(0, total + nbytes(out))


def least(types, out, code, rest, most):
    """The same, if what is computed by entry reads no more of each argument than it writes."""
    if code != "fusion" or "kind=kLoop" not in rest:
        return most
    args = re.findall(r"%([\w.\-]+)", rest.split("), ")[0])
    return min(most, nbytes(out) + sum(min(nbytes(types.get(a, "")), nbytes(out)) for a in args))


def counts(comps, name, times=1, into=None, branch=0, path=()):
    """Kernels and bytes of a run of a computation; loops of known length by their length.

    Of a conditional, the branch of that index: 0 where its predicate is false.
    """
    into = into if into is not None else collections.Counter()
    types = {n: t for n, t, *_ in comps[name]}
    for op, out, code, rest in comps[name]:
        if code in FREE:
            continue
        if code == "while":
            body = re.search(r"body=%?([\w.\-]+)", rest)[1]
            trip = re.search(r'known_trip_count[^}]*?"n":\s*"(\d+)"', rest)
            n = int(trip[1]) if trip else 1
            into["loops"] += times
            into["loop turns"] += times * n
            into["unknown loops"] += 0 if trip else times
            into.setdefault("list", []).append((path, op, n if trip else None, times))
            counts(comps, body, times * n, into, branch, (*path, op))
        elif code == "conditional":
            into["conditionals"] += times
            branches = re.search(r"branch_computations=\{([^}]*)\}", rest)
            if branches:
                names = branches[1].split(",")
            else:
                names = [re.search(rf"{which}_computation=(%?[\w.\-]+)", rest)[1]
                         for which in ("false", "true")]
            chosen = names[branch].strip().lstrip("%")
            counts(comps, chosen, times, into, branch, (*path, op))
        elif code == "call":
            counts(comps, re.search(r"to_apply=%?([\w.\-]+)", rest)[1], times, into, branch, path)
        else:
            kind = code
            if code == "fusion":
                kind = "fusion " + re.search(r"kind=(\w+)", rest)[1]
                if m := re.search(r'"kind":"(__\w+)"', rest):
                    kind += " " + m[1]
            elif code == "custom-call":
                kind = "custom-call " + re.search(r'custom_call_target="([^"]*)"', rest)[1]
            moved = traffic(comps, types, out, code, rest)
            into["kernels"] += times
            into["bytes"] += times * moved
            into["least"] += times * least(types, out, code, rest, moved)
            into.setdefault("kinds", collections.Counter())[kind] += times
    return into


def step_of(text, branch=0):
    """What a step of the loop of a fit takes, by the HLO of its compiled loop."""
    comps, entry = parse(text)
    whiles = [(op, rest) for op, _, code, rest in comps[entry] if code == "while"]
    if not whiles:
        return counts(comps, entry, branch=branch)
    body = re.search(r"body=%?([\w.\-]+)", whiles[-1][1])[1]
    return counts(comps, body, branch=branch)


def fused_flops(jaxpr, times=1, fused=False):
    """Operations of the products in the fused kernels, with the zeros that they are padded with. Of
    loops around kernels, one turn: of a fit a step. The compiler does not look into kernels."""
    from jax.extend import core

    total = 0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        inner, within = times, fused
        if eqn.primitive.name == "pallas_call":
            inner, within = times * math.prod(eqn.params["grid_mapping"].grid), True
        elif eqn.primitive.name == "scan" and fused:
            inner = times * eqn.params["length"]
        elif eqn.primitive.name == "dot_general" and fused:
            (axes, _), _ = eqn.params["dimension_numbers"]
            summed = math.prod(eqn.invars[0].aval.shape[axis] for axis in axes)
            total += 2 * times * summed * eqn.outvars[0].aval.size
        for value in core.jaxprs_in_params(eqn.params):
            total += fused_flops(value, inner, within)
    return total


# ------------------------------------------------------------------------------------- the page

BARS = {"c3": 170, "clic": 260, "uvg-e3-p75": 700, "fast": 250}
"""Most kernels of a step; of "fast" without its change of basis, every ten steps."""
PEAKS_MB = {"c3-batch32": 16_000, "uvg-e3-p75": 10_000}
TRAFFIC_GB = {"c3": 3.0}


def compiled(name, target, folder):
    """What one program takes on a target, as JSON can hold it."""
    import jax

    from c3lite.arrays import fused

    fused.works = lambda: DEVICES[target][9] >= fused.OLDEST
    jax.clear_caches()  # of what was traced for another target
    function, arguments = programs()[name](sharding_of(target))
    began = time.perf_counter()
    traced = getattr(function, "trace", function)(*arguments)
    program = traced.lower().compile()
    seconds = time.perf_counter() - began
    memory, text = program.memory_analysis(), program.as_text()
    if folder:
        (folder / f"{name}-{target}.hlo").write_text(text)
    step, bases = step_of(text, branch=0), step_of(text, branch=-1)
    return {"program": name, "target": target, "compile_s": round(seconds, 1),
            "peak_MB": round(memory.peak_memory_in_bytes / 1e6),
            "kernels": step["kernels"], "kernels_with_bases": bases["kernels"],
            "loop_turns": step["loop turns"], "GB": round(step["bytes"] / 1e9, 3),
            "fused_GFLOP": round(fused_flops(traced.jaxpr) / 1e9, 2),
            "cudnn": sorted(k for k in step.get("kinds", {}) if "cudnn" in k)}


def failures(row):
    """Which bars a program misses."""
    if "error" in row:
        return ["does not compile"]
    name, missed = row["program"], []
    if row["kernels"] > BARS.get(name, 10**9):
        missed.append(f"kernels above {BARS[name]}")
    if row["peak_MB"] > PEAKS_MB.get(name, 10**9):
        missed.append(f"peak above {PEAKS_MB[name]} MB")
    if row["GB"] > TRAFFIC_GB.get(name, 10**9):
        missed.append(f"traffic above {TRAFFIC_GB[name]} GB")
    if row["loop_turns"] and not name.endswith("-search"):
        missed.append("inner loops")
    if row["cudnn"]:
        missed.append("cuDNN")
    return missed


def page(rows, version):
    """The table as Markdown."""
    lines = [
        "# The GPU programs, as the compiler sees them", "",
        f"`make gpu-check`, JAX {version}, {time.strftime('%Y-%m-%d', time.gmtime())}. **Nothing "
        "was run for this page**: programs were compiled for",
        "described devices on a machine without a GPU, without autotuning. A step is one of stage "
        "1 or 2, which are the same program.",
        "SOAP's bases change every ten steps; that step has the kernels in brackets. The estimate "
        "is the larger of 2 to 4 µs a kernel and",
        "of the bytes at the memory's full and half bandwidth with the products of the fused "
        "kernels (their zeros too, three of TF32 for one)",
        "at the tensor cores' full and half rate, for a thousand steps of all fits of the program "
        "together.",
        "Bars, and no other program has one: at most "
        + ", ".join(f"{n} kernels a step for {name}" for name, n in BARS.items())
        + "; " + ", ".join(f"{n:,} MB for {name}" for name, n in PEAKS_MB.items())
        + f"; {TRAFFIC_GB['c3']:g} GB a step for c3; for all, no inner loops and no cuDNN.", "",
        "| program | target | kernels a step | peak MB | GB a step | fused GFLOP a step "
        "| s per 1000 steps | compiled in s | missed |", "|---|---|---|---|---|---|---|---|---|"]
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['program']} | {row['target']} | - | - | - | - | - "
                         f"| - | {row['error'][:90]} |")
            continue
        bandwidth = DEVICES[row["target"]][3] / 1e9
        busy_s = row["GB"] / bandwidth * 1e3 + (
            PASSES * row["fused_GFLOP"] / TENSOR_TFLOPS[row["target"]])
        low, high = (max(row["kernels"] * us * 1e-3, busy_s / share)
                     for us, share in ((2, 1), (4, 0.5)))
        extra = (f" ({row['kernels_with_bases']})"
                 if row["kernels_with_bases"] != row["kernels"] else "")
        lines.append(
            f"| {row['program']} | {row['target']} | {row['kernels']}{extra} | {row['peak_MB']:,} "
            f"| {row['GB']:.2f} | {row['fused_GFLOP']:.1f} | {low:.1f} to {high:.1f} "
            f"| {row['compile_s']:.0f} | {', '.join(failures(row)) or '-'} |")
    return "\n".join([*lines, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="programs; without, all")
    parser.add_argument("--target", nargs="*", default=list(DEVICES), choices=list(DEVICES))
    parser.add_argument("--list", action="store_true", help="print the programs' names, no more")
    parser.add_argument("--hlo", type=Path, help="a folder for the compiled programs")
    args = parser.parse_args()
    from c3lite.arrays import blocks

    table = programs()
    asked = blocks.on_cpu
    for module in list(sys.modules.values()):  # as where the GPU is
        if getattr(module, "on_cpu", None) is asked:
            module.on_cpu = lambda: False
    if args.list:
        return print(len(table), "programs:", *table)
    kept = ROOT / ".cache" / "gpu-check"
    kept.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.names or table:
        for target in args.target:
            path = kept / f"{name}-{target}.json"
            if not path.exists():
                try:
                    row = compiled(name, target, args.hlo)
                except Exception as error:
                    row = {"program": name, "target": target,
                           "error": f"{type(error).__name__}: {str(error)[:300]}"}
                path.write_text(json.dumps(row))
            rows.append(json.loads(path.read_text()))
            print(json.dumps(rows[-1]), flush=True)
    import jax

    paths = (kept / f"{name}-{target}.json" for name in table for target in DEVICES)
    known = [json.loads(path.read_text()) for path in paths if path.exists()]  # of other runs, too
    (ROOT / "ablations" / "results" / "gpu_compiled.md").write_text(page(known, jax.__version__))
    missed = [f"{row['program']} for {row['target']}: {', '.join(failures(row))}"
              for row in rows if failures(row)]
    sys.exit("\n".join(missed) or 0)


if __name__ == "__main__":
    main()
