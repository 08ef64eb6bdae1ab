# From images to training samples.


rule sample:
    input:
        bridge.needs("sample"),
    output:
        bridge.makes("sample"),
    log:
        f"logs/{bridge.stem('sample')}.log",
    benchmark:
        f"logs/{bridge.stem('sample')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: workflow.cores
    resources:
        mem_mb=2000,
        runtime=30,
    shell:
        bridge.command("sample")


rule download:
    input:
        bridge.needs("download"),
    output:
        bridge.makes("download"),
    log:
        f"logs/{bridge.stem('download')}.log",
    benchmark:
        f"logs/{bridge.stem('download')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=1440,
    shell:
        bridge.command("download")


rule coco_api:
    input:
        bridge.needs("coco_api"),
    output:
        bridge.makes("coco_api"),
    log:
        f"logs/{bridge.stem('coco_api')}.log",
    benchmark:
        f"logs/{bridge.stem('coco_api')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        bridge.command("coco_api")


rule masks:
    input:
        bridge.needs("masks"),
    output:
        bridge.makes("masks"),
    log:
        f"logs/{bridge.stem('masks')}.log",
    benchmark:
        f"logs/{bridge.stem('masks')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=30,
    shell:
        bridge.command("masks")


rule pack:
    input:
        bridge.needs("pack"),
    output:
        bridge.makes("pack"),
    log:
        f"logs/{bridge.stem('pack')}.log",
    benchmark:
        f"logs/{bridge.stem('pack')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=240,
    shell:
        bridge.command("pack")
