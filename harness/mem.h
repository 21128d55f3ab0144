/* The engine of `assay mem`: one fresh process per mode and repeat loads a model and runs one pass
 * through it; the parent judges what fits, repeats, extrapolates and compares. */
#ifndef ASSAY_HARNESS_MEM_H
#define ASSAY_HARNESS_MEM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "datasets/gguf.h"
#include "impl/gemm_quant.h"

/* The hidden worker command: its options are written by mem_run.c and read by mem_child.c. */
struct assay_command;
extern const struct assay_command assay_cmd_mem_child;

struct assay_mem_params {
    const struct assay_gguf *gguf; /* the model, opened: only its header is read here */
    const char *path;
    const char *isa; /* name of an enum assay_isa */
    uint32_t layers; /* of the file, or fewer if the user said so */
    int threads;
    size_t tokens;
    unsigned repeat;
    unsigned steady; /* passes after the first */
    uint64_t memory; /* bytes that a mode may take; 0: unknown, so everything is tried */
    /* Bytes that each process is really held to; 0: none. A backend that borrows the blocks is held
     * by its address space (RLIMIT_AS), the mapped file included, which is stricter than resident
     * memory: what passes fits. One that keeps a copy is held by its private memory (RLIMIT_DATA),
     * without the file: what fails does not fit. */
    uint64_t limit;
};

enum assay_mem_outcome {
    ASSAY_MEM_MEASURED,
    ASSAY_MEM_SKIPPED, /* not available here, or not one layer fits; `reason` says which */
    ASSAY_MEM_ERROR,   /* the child reported an error */
    ASSAY_MEM_CRASHED, /* the child died or hung */
    ASSAY_MEM_OVER,    /* the limit does not hold the mode; `reason`: seen, or computed */
};

struct assay_mem_figures {
    double disk, peak, anon, file; /* bytes */
    double transient;              /* bytes a steady call adds while it runs; NAN: unknown */
    double page_tables;            /* bytes */
    double load_s, pass_s, steady_s;
};

struct assay_mem_row {
    const struct assay_backend *backend;
    enum assay_mem_outcome outcome;
    char reason[256];
    uint32_t layers, layers_wanted;    /* fewer than wanted: the memory did not allow more */
    struct assay_mem_figures measured; /* of `layers` layers */
    struct assay_mem_figures whole;    /* of layers_wanted: extrapolated if there are fewer */
    json_t *runs;                      /* what each child reported */
    float *logits;                     /* of the last run, tokens × vocab */
    size_t n_logits;
    bool compared; /* with the eager-f32 row */
    double nmse, max_abs;
};

/* Measures one mode. The row is the caller's to clear. */
void assay_mem_measure(const struct assay_mem_params *p, const struct assay_backend *backend,
                       struct assay_mem_row *row);
void assay_mem_row_clear(struct assay_mem_row *row);

/* Most layers (up to `wanted`) that fit `memory` bytes; *fits is false where not even the tables
 * and one layer do. A tenth of the memory and two bytes for each weight of the largest matrix stay
 * free, for activations, transient copies and what else runs. */
uint32_t assay_mem_fit(const uint64_t *layer_bytes, uint32_t wanted, uint64_t table_bytes,
                       uint64_t largest, uint64_t memory, bool *fits);

/* Fills row->whole from row->measured: memory by the bytes of the layers left out, which are known
 * from the tensor table; times by the time per layer measured. */
void assay_mem_extrapolate(struct assay_mem_row *row, uint64_t left_out_bytes,
                           uint64_t left_out_disk, bool owned, double load_layers_s,
                           double pass_layers_s);

/* Compares each measured row's logits with those of the eager-f32 row, where the layers agree. */
void assay_mem_compare(struct assay_mem_row *rows, size_t n);

/* The bar for a quantised mode: peak <= 1.05 × on-disk tensor bytes + 16 MiB. */
double assay_mem_bar(double disk);

void assay_mem_print(FILE *out, const struct assay_mem_params *p, const struct assay_mem_row *rows,
                     size_t n);
json_t *assay_mem_row_json(const struct assay_mem_row *row);

#endif
