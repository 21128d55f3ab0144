/* A backend whose kernels have one fault at a time: what the verify engine must find. */
#ifndef ASSAY_HARNESS_TESTS_FAULTY_BACKEND_H
#define ASSAY_HARNESS_TESTS_FAULTY_BACKEND_H

#include "impl/backend.h"

enum fault {
    FAULT_NONE,
    FAULT_Q6K_HIGH_BITS, /* Q6_K: high bits shifted by one, in row FAULTY_ROW */
    FAULT_Q4K_MIN,       /* Q4_K: min of sub-block 7 dropped, in row FAULTY_ROW */
    FAULT_CRASH_ON_Q5K,  /* SIGSEGV */
    FAULT_HANG_ON_Q5K,   /* sleeps for ever */
    FAULT_NAN,           /* one element NaN */
    FAULT_SKIPS_COLUMN,  /* last column never written */
    FAULT_WRITES_PAST_N, /* one element too many in each row */
    FAULT_SECOND_CALL,   /* wrong from the second call on */
    FAULT_ALL_ZERO,      /* writes zeros, claiming the class that allows most */
    FAULT_READS_PAST_X,  /* one float beyond x */
    FAULT_FAILS,         /* gemm returns an error */
    FAULT_UNSUPPORTED,   /* claims a type, then refuses it */
};

enum { FAULTY_ROW = 5 };

extern enum fault current_fault;
extern const struct assay_backend faulty_backend;

#endif
