/* ggml's shared libraries: where they are, which of them runs best here, and the functions of their
 * C interface that the backend calls. The prototypes are restated, so nothing of ggml is needed to
 * build assay. */
#ifndef ASSAY_IMPL_GGML_LIBRARY_H
#define ASSAY_IMPL_GGML_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ggml_context;
struct ggml_tensor;
struct ggml_cgraph;
struct ggml_threadpool;
struct ggml_backend;
struct ggml_backend_buffer;
struct ggml_backend_buffer_type;
struct ggml_backend_device;
struct ggml_backend_reg;

struct ggml_init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

/* Head of ggml's table of types: enough to decode rows. */
struct ggml_type_traits {
    const char *type_name;
    int64_t blck_size;
    int64_t blck_size_interleave;
    size_t type_size;
    bool is_quantized;
    void (*to_float)(const void *blocks, float *out, int64_t n);
};

/* Head of the CPU library's table of types: which dot product, over which activation type. */
struct ggml_type_traits_cpu {
    void *from_float;
    void *vec_dot;
    int vec_dot_type;
};

/* Filled in by ggml_threadpool_params_init; opaque but for its size, 532 bytes today. */
struct ggml_threadpool_params {
    _Alignas(16) char bytes[4096];
};

struct assay_ggml_library {
    char path[4096]; /* of the CPU library */

    struct ggml_context *(*init)(struct ggml_init_params params);
    void (*free)(struct ggml_context *ctx);
    size_t (*tensor_overhead)(void);
    size_t (*graph_overhead_custom)(size_t size, bool grads);
    struct ggml_tensor *(*new_tensor_2d)(struct ggml_context *ctx, int type, int64_t ne0,
                                         int64_t ne1);
    struct ggml_tensor *(*new_tensor_3d)(struct ggml_context *ctx, int type, int64_t ne0,
                                         int64_t ne1, int64_t ne2);
    struct ggml_tensor *(*mul_mat_id)(struct ggml_context *ctx, struct ggml_tensor *as,
                                      struct ggml_tensor *b, struct ggml_tensor *ids);
    struct ggml_tensor *(*mul_mat)(struct ggml_context *ctx, struct ggml_tensor *a,
                                   struct ggml_tensor *b);
    struct ggml_cgraph *(*new_graph_custom)(struct ggml_context *ctx, size_t size, bool grads);
    void (*build_forward_expand)(struct ggml_cgraph *graph, struct ggml_tensor *tensor);
    const struct ggml_type_traits *(*get_type_traits)(int type);
    void (*log_set)(void (*callback)(int level, const char *text, void *user), void *user);
    void (*threadpool_params_init)(struct ggml_threadpool_params *p, int n_threads);

    struct ggml_backend_device *(*reg_dev_get)(struct ggml_backend_reg *reg, size_t index);
    void *(*reg_get_proc_address)(struct ggml_backend_reg *reg, const char *name);
    struct ggml_backend *(*dev_init)(struct ggml_backend_device *dev, const char *params);
    bool (*dev_supports_op)(struct ggml_backend_device *dev, const struct ggml_tensor *op);
    void (*backend_free)(struct ggml_backend *backend);
    int (*graph_compute)(struct ggml_backend *backend, struct ggml_cgraph *graph);
    const char *(*buft_name)(struct ggml_backend_buffer_type *buft);
    struct ggml_backend_buffer *(*buft_alloc_buffer)(struct ggml_backend_buffer_type *buft,
                                                     size_t size);
    size_t (*buft_get_alloc_size)(struct ggml_backend_buffer_type *buft,
                                  const struct ggml_tensor *tensor);
    void *(*buffer_get_base)(struct ggml_backend_buffer *buffer);
    void (*buffer_free)(struct ggml_backend_buffer *buffer);
    struct ggml_backend_buffer *(*cpu_buffer_from_ptr)(void *ptr, size_t size);
    int (*tensor_alloc)(struct ggml_backend_buffer *buffer, struct ggml_tensor *tensor, void *addr);
    void (*tensor_set)(struct ggml_tensor *tensor, const void *data, size_t offset, size_t size);

    const struct ggml_type_traits_cpu *(*get_type_traits_cpu)(int type);

    /* Through the registry of the CPU library. */
    struct ggml_backend_device *device;
    void (*set_n_threads)(struct ggml_backend *backend, int n_threads);
    struct ggml_backend_buffer_type **(*get_extra_bufts)(struct ggml_backend_device *dev);
    struct ggml_threadpool *(*threadpool_new)(struct ggml_threadpool_params *p);
    void (*threadpool_free)(struct ggml_threadpool *pool);
    void (*threadpool_pause)(struct ggml_threadpool *pool); /* until the next graph */
    void (*set_threadpool)(struct ggml_backend *backend, struct ggml_threadpool *pool);

    void *cpu_handle;
};

/* Loads the libraries on the first call. NULL if that failed; *why then says why. */
const struct assay_ggml_library *assay_ggml_library_get(const char **why);

/* Address of a symbol of the CPU library, or NULL. */
void *assay_ggml_symbol(const struct assay_ggml_library *lib, const char *name);

#endif
