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
    shell:
        bridge.command("train")
