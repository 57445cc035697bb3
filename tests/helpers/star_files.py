"""Files of STAR-Counts."""

HEADER = "gene_id gene_name gene_type unstranded stranded_first stranded_second tpm_unstranded fpkm_unstranded fpkm_uq_unstranded"
GENES = (("ENSG00000141510.18", "TP53"), ("ENSG00000091831.24", "ESR1"), ("ENSG00000000001.1", ""))


def star_text(values, genes=GENES):
    """A file as GDC documents it: a comment, a header, four `N_` rows, then genes; numbers as `values` has them."""
    lines = ["# gene-model: GENCODE v36", HEADER.replace(" ", "\t")]
    for name in ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous"):
        lines.append(f"{name}\t\t\t99\t9\t9\t\t\t")
    for (gene, symbol), value in zip(genes, values, strict=True):
        lines.append(f"{gene}\t{symbol}\tprotein_coding\t{value}\t0\t0\t{value / 2}\t{value / 4}\t0")
    return "\n".join(lines) + "\n"
