"""Ablations: the rows of the paper's tables, a resumable grid of fits, and BD-rates.

Each module uses those before it: `images`, `rows` and `store`; `jobs` (one fit, anywhere),
`executors` (where fits run) and `grid` (`sweep`); `table` and `plots`; `notebook` (`Study`), with
`paper` for the printed numbers; `studies` beside the tables; `stored`: results without fitting.
"""

from c3lite.ablation.grid import sweep
from c3lite.ablation.jobs import Job, Result, run_group
from c3lite.ablation.notebook import Study
from c3lite.ablation.rows import (
    FAST_PARTS, KNOCKOUTS, Row, annealing, between, knockouts, ladder, rungs, schedules, sequential)
from c3lite.ablation.store import Record, Store
from c3lite.ablation.table import Table, bd_table, loss_changes, mean_curve, networks_over
