# From a network to people, average precision and the report.


rule detect:
    input:
        bridge.needs("detect"),
    output:
        bridge.makes("detect"),
    log:
        f"logs/{bridge.stem('detect')}.log",
    benchmark:
        f"logs/{bridge.stem('detect')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: max(1, workflow.cores // len(bridge.settings["detect"]["shards"]))
    resources:
        mem_mb=8000,
        runtime=1440,
        gpu=config.get("gpus", 0),
    shell:
        bridge.command("detect")


rule held_out:
    input:
        bridge.needs("held_out"),
    output:
        bridge.makes("held_out"),
    log:
        f"logs/{bridge.stem('held_out')}.log",
    benchmark:
        f"logs/{bridge.stem('held_out')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        bridge.command("held_out")


rule evaluate:
    input:
        bridge.needs("evaluate"),
    output:
        bridge.makes("evaluate"),
    log:
        f"logs/{bridge.stem('evaluate')}.log",
    benchmark:
        f"logs/{bridge.stem('evaluate')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        bridge.command("evaluate")


rule report:
    input:
        bridge.needs("report"),
    output:
        bridge.makes("report"),
    log:
        f"logs/{bridge.stem('report')}.log",
    benchmark:
        f"logs/{bridge.stem('report')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        bridge.command("report")
