#include "check.h"

#include <string.h>

const struct assay_check *const assay_checks[] = {
    NULL,
};

const struct assay_check *assay_check_by_name(const char *name) {
    for (size_t i = 0; assay_checks[i] != NULL; i++)
        if (strcmp(assay_checks[i]->name, name) == 0)
            return assay_checks[i];
    return NULL;
}
