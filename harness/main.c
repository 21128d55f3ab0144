/* assay: the command table. */
#include "gate/gate.h"
#include "mem.h"
#include "options.h"

static const struct assay_command *const commands[] = {
    &assay_cmd_inspect,      &assay_cmd_verify,   &assay_cmd_explain,   &assay_cmd_bench,
    &assay_cmd_mem,          &assay_cmd_load_run, &assay_cmd_gate,      &assay_cmd_compare,
    &assay_cmd_history,      &assay_cmd_report,   &assay_cmd_types,     &assay_cmd_version,
    &assay_cmd_false_alarms, &assay_cmd_faults,   &assay_cmd_mem_child, &assay_cmd_gate_count,
};

int main(int argc, char **argv) {
    return assay_dispatch(commands, sizeof commands / sizeof commands[0], argc, argv);
}
