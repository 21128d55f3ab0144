# Builds the kernels of a commit as a plugin, by that commit's own compiler, flags and libraries:
#   make -C WORKTREE -f …/gate.mk GATE_DIR=… BUILD=… CFLAGS='-g -fPIC -fvisibility=hidden' gate
include Makefile

# Of two the last counts: a commit that hardens programs by -fPIE would undo the -fPIC.
HARDEN := $(filter-out -fPIE,$(HARDEN))

.PHONY: gate
gate: $(BUILD)/libassay.a
	$(CC) $(ALL_CFLAGS) -shared -I$(GATE_DIR) -o $(GATE_DIR)/kernels.so.part $(GATE_DIR)/kernels.c \
	    $(BUILD)/libassay.a $(LDLIBS)
	mv $(GATE_DIR)/kernels.so.part $(GATE_DIR)/kernels.so
