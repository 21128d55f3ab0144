/* What a compiled kernel library and the runtime know of each other. Read by the runtime (C) and,
 * embedded, by every kernel library (C++ without a standard library), so builtin types only. */
#ifndef ASSAY_IMPL_METAL_SOFT_ABI_H
#define ASSAY_IMPL_METAL_SOFT_ABI_H

#define MSL_ABI 1u
#define MSL_MAX_BUFFERS 31u   /* per kind of index: Metal feature set tables */
#define MSL_MAX_CONSTANTS 64u /* function constants */
#define MSL_LANES 32u         /* threads of a simdgroup on Apple GPUs */
#define MSL_VALUE_BYTES 32u   /* the largest operand of a simd operation: long4 */

enum msl_builtin {
    MSL_THREAD_POSITION_IN_GRID,
    MSL_THREADGROUP_POSITION_IN_GRID,
    MSL_THREAD_POSITION_IN_THREADGROUP,
    MSL_THREAD_INDEX_IN_THREADGROUP,
    MSL_THREAD_INDEX_IN_SIMDGROUP,
    MSL_SIMDGROUP_INDEX_IN_THREADGROUP,
    MSL_THREADS_PER_THREADGROUP,
    MSL_THREADGROUPS_PER_GRID,
    MSL_THREADS_PER_GRID,
    MSL_THREADS_PER_SIMDGROUP,
    MSL_SIMDGROUPS_PER_THREADGROUP,
    MSL_BUILTINS,
};

enum msl_memory { MSL_MEM_NONE = 0, MSL_MEM_DEVICE = 1, MSL_MEM_THREADGROUP = 2 };

enum msl_kind { MSL_BUFFER, MSL_THREADGROUP, MSL_BUILTIN };

struct msl_param {
    enum msl_kind kind;
    unsigned index; /* buffer(n), threadgroup(n), or enum msl_builtin */
    unsigned size;  /* bytes that a reference refers to; of a pointer's element */
    unsigned align;
    int writable;  /* not to const */
    int reference; /* exactly one object, rather than a pointer to any number */
    int constant;  /* in the constant address space */
    const char *name;
};

/* What a thunk gets for one thread. */
struct msl_thread {
    unsigned builtin[MSL_BUILTINS][3];
    void *const *buffers;      /* by buffer(n) */
    void *const *threadgroups; /* by threadgroup(n) */
};

struct msl_kernel {
    const char *name;
    void (*thunk)(const struct msl_thread *t);
    const struct msl_param *params;
    unsigned n_params;
    unsigned max_threads; /* max_total_threads_per_threadgroup, or 0 */
};

struct msl_function_constant {
    unsigned index;
    unsigned size; /* bytes of its type */
    const char *name;
    const char *type; /* as written */
    void *value;
    unsigned char *defined;
    int optional; /* the source asks whether it is defined */
};

/* Where in the source an operation stands. */
struct msl_site {
    const char *what; /* "simd_sum" */
    unsigned line, column;
};

/* A simdgroup's rendezvous: every lane's operand. The first lane that goes on leaves the result of
 * a reduction here for the others. */
struct msl_exchange {
    unsigned char value[MSL_LANES][MSL_VALUE_BYTES];
    unsigned char result[MSL_VALUE_BYTES];
    unsigned present; /* bit i: lane i took part */
    int reduced;
    unsigned order; /* 0: by halves; else in turn, beginning at lane order - 1 */
};

/* The runtime, as the library sees it. */
struct msl_runtime {
    void (*threadgroup_barrier)(struct msl_site at, unsigned memory);
    void (*simdgroup_barrier)(struct msl_site at, unsigned memory);
    /* Returns when all lanes have come; the exchange holds until the lane's next operation. */
    struct msl_exchange *(*simd)(struct msl_site at, const void *value, unsigned size);
    /* This lane's index. */
    unsigned (*lane)(void);
    /* Lane 0 does a matrix operation for all; the others leave their word that they came by. True
     * on lane 0. */
    int (*matrix)(struct msl_site at, const void *address);
    /* The same address to every thread of the threadgroup. `id` numbers the variables of a kernel.
     */
    void *(*threadgroup_variable)(unsigned id, unsigned size, unsigned align, const char *name);
    void (*fail)(struct msl_site at, const char *message);
    /* Checked mode only. `pc` is where the access stands. */
    void (*access)(const void *address, unsigned long size, unsigned align, int write, int atomic,
                   const void *pc);
    /* An access by the whole simdgroup. */
    void (*matrix_access)(const void *address, unsigned long size, int write, struct msl_site at);
    void (*undefined)(const char *what, const void *pc);
};

/* The descriptor of a global variable, as the address sanitizer's instrumentation lays it out. */
struct msl_global {
    const void *begin;
    unsigned long size, size_with_redzone;
    const char *name, *module;
    unsigned long has_dynamic_init;
    const void *location;
    unsigned long odr_indicator;
};

struct msl_globals {
    const struct msl_global *first;
    unsigned long count;
};

/* What a library exports, as msl_module. */
struct msl_module {
    unsigned abi, checked;
    const char *source; /* the file's name */
    const struct msl_kernel *kernels;
    unsigned n_kernels;
    const struct msl_function_constant *constants;
    unsigned n_constants;
    const struct msl_runtime **runtime; /* for the loader to set */
    struct msl_globals *globals;        /* none unless checked */
};

#endif
