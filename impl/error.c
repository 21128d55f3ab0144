#include <stdarg.h>
#include <stdio.h>

#include "backend.h"

enum assay_status assay_fail(struct assay_error *err, enum assay_status status, const char *fmt,
                             ...) {
    if (err) {
        va_list args;
        va_start(args, fmt);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, fmt, args);
        va_end(args);
    }
    return status;
}
