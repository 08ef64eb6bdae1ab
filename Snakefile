# `snakemake --cores 8` finds this file; the schedule itself stands where Snakemake's conventions look for it.
include: "workflow/Snakefile"


# an included file's default target is not taken over
rule everything:
    default_target: True
    input:
        rules.all.input,
