# One rule for each stage of dvc.yaml: a new stage needs its line in USES. Inputs, outputs and command come from dvc.yaml.
# Memory (MB) and time (minutes) are what a cluster's job may take; one thread where none are named.
GPUS = config.get("gpus", 0)
SHARE = max(1, workflow.cores // max(1, len(bridge.settings["detect"]["shards"])))
USES = {
    # from images to training samples
    "sample": dict(mem_mb=2000, runtime=30, threads=workflow.cores),
    "download": dict(mem_mb=1000, runtime=1440),
    "inspect_data": dict(mem_mb=2000, runtime=120, threads=workflow.cores),
    "coco_api": dict(mem_mb=1000, runtime=10),
    "masks": dict(mem_mb=1500, runtime=30),
    "pack": dict(mem_mb=2000, runtime=240),
    # from training samples to a network
    "train": dict(mem_mb=16000, runtime=20160, threads=workflow.cores, gpu=GPUS),
    "import_model": dict(mem_mb=3000, runtime=60),
    # from a network to people, average precision and the report
    "held_out": dict(mem_mb=4000, runtime=60),
    "detect": dict(mem_mb=8000, runtime=1440, threads=SHARE, gpu=GPUS),
    "evaluate": dict(mem_mb=4000, runtime=60),
    "report": dict(mem_mb=2000, runtime=30),
}

for stage, uses in USES.items():

    rule:
        name:
            stage
        input:
            bridge.needs(stage),
        output:
            bridge.makes(stage),
        log:
            f"logs/{bridge.stem(stage)}.log",
        benchmark:
            f"logs/{bridge.stem(stage)}.tsv"
        conda:
            "../../envs/pipeline.yaml"
        threads: uses.pop("threads", 1)
        resources:
            **uses,
        params:
            stage=bridge.stem(stage),
        shell:
            ONE_STAGE
