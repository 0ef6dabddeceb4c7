"""What a Slurm job of a test runs: fits that are kept every moment, not every half minute."""

from c3lite.ablation import executors
from c3lite.fitting import checkpoint


class ImpatientWork(executors.SlurmWork):
    """Work that can be killed after a second and has a checkpoint."""

    def __call__(self) -> int:
        checkpoint.SECONDS_BETWEEN = 0.5
        return super().__call__()
