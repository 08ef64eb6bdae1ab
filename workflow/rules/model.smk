# From training samples to a network.


rule train:
    input:
        bridge.needs("train"),
    output:
        bridge.makes("train"),
    log:
        f"logs/{bridge.stem('train')}.log",
    benchmark:
        f"logs/{bridge.stem('train')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: workflow.cores
    resources:
        mem_mb=16000,
        runtime=20160,
        gpu=config.get("gpus", 0),
    shell:
        bridge.command("train")


rule import_model:
    input:
        bridge.needs("import_model"),
    output:
        bridge.makes("import_model"),
    log:
        f"logs/{bridge.stem('import_model')}.log",
    benchmark:
        f"logs/{bridge.stem('import_model')}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
    shell:
        bridge.command("import_model")
