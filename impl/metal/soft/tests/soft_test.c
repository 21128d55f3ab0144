#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "impl/metal/soft/text.h"
#include "soft_test.h"

bool soft_test_can_compile(const char *what) {
    char why[256] = "the compiler here is for the emulator's host";
    if (getenv("ASSAY_EMULATOR") != NULL || assay_soft_compiler(why, sizeof why) == NULL) {
        fprintf(stderr, "SKIP %s: %s\n", what, why);
        return false;
    }
    setenv("ASSAY_METAL_CACHE", ASSAY_TEST_CACHE, 1);
    return true;
}

struct assay_soft_library *soft_test_library(const char *file, enum assay_soft_mode mode) {
    static char err[65536];
    char path[512], block[65536];
    if (!soft_test_can_compile(file))
        return NULL;
    snprintf(path, sizeof path, "%s/tests/%s", ASSAY_TEST_SOFT, file);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    struct assay_text source = {0};
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        assay_text_add(&source, block, n);
    fclose(f);
    struct assay_soft_library *lib = NULL;
    bool ok = assay_soft_library_create(source.data, file, mode, &lib, err, sizeof err);
    cr_assert(ok, "%s", err);
    free(source.data);
    return lib;
}

void soft_test_setup(struct soft_setup *s, const struct assay_soft_library *lib,
                     const char *kernel) {
    memset(s, 0, sizeof *s);
    for (int i = 0; i < SOFT_N; i++)
        s->x[i] = (float)i;
    s->n = SOFT_N;
    s->d.library = lib;
    s->d.kernel = assay_soft_kernel(lib, kernel);
    cr_assert_not_null(s->d.kernel, "%s", kernel);
    s->d.buffers[0] = (struct assay_soft_binding){s->x, sizeof s->x, 0, false};
    s->d.buffers[1] = (struct assay_soft_binding){s->y, sizeof s->y, 0, false};
    s->d.buffers[2] = (struct assay_soft_binding){&s->n, sizeof s->n, 0, true};
    s->d.threadgroup_bytes[0] = SOFT_GROUP * sizeof(float);
    s->d.threads[0] = SOFT_N;
    s->d.group[0] = SOFT_GROUP;
    s->d.threads[1] = s->d.threads[2] = s->d.group[1] = s->d.group[2] = 1;
    s->d.constants[0] = 2; /* SHIFT of clean.metal; EXTRA stays false */
    s->d.constant_set[0] = s->d.constant_set[1] = true;
}
