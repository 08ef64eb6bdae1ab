# The schedule: which stage runs when, beside which, with what resources. What the stages read and write stands in
# dvc.yaml; workflow/bridge.py brings it here.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.0")
sys.path.insert(0, workflow.basedir)

from workflow.bridge import ONE_STAGE, connect

bridge = connect(Path(workflow.basedir), config, main=workflow.is_main_process, dry=workflow.dryrun)


include: "workflow/rules/stages.smk"


rule all:
    default_target: True
    input:
        bridge.everything(),


onerror:
    bridge.repeat_failures()


onsuccess:
    print(bridge.summary(workflow.dag_settings.targets), file=sys.stderr)
