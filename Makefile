# assay: the sole build file. `make help` lists the targets. Quiet by default, V=1 shows commands.
#
#   CC=clang            compiler (gcc >= 12, clang >= 14)
#   SAN=address,undefined   sanitizers; objects go to a directory of their own
#   BUILD=dir           out-of-tree build directory
#   CROSS=aarch64       cross build with Debian's aarch64-linux-gnu-gcc, run under qemu-user

CC      ?= cc
ifeq ($(origin CC),default)
CC      := gcc
endif
PREFIX  ?= /usr/local
SAN     ?=
CROSS   ?=
VERSION := 0.1.0
CC_ID   := $(notdir $(firstword $(CC)))
ifeq ($(CROSS),aarch64)
CC      := aarch64-linux-gnu-gcc
CC_ID   := aarch64-gcc
RUN     ?= qemu-aarch64
endif
empty   :=
space   := $(empty) $(empty)
comma   := ,
BUILD   ?= build/$(CC_ID)$(if $(SAN),-$(subst $(comma),-,$(SAN)))
Q       := $(if $(V),,@)

ARCH    := $(shell $(CC) -dumpmachine | cut -d- -f1)
OS      := $(shell uname -s)

WARN    := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla
OPT     ?= -O2
CFLAGS  ?= -g
ALL_CFLAGS = -std=c11 $(OPT) $(CFLAGS) $(WARN) -D_GNU_SOURCE -I. -MMD -MP -fno-math-errno \
             -fopenmp $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)

# Per-folder flags: the folder decides the ISA. ref/ is plain portable C without contraction.
FLAGS_ref        := -ffp-contract=off -fno-openmp
FLAGS_impl       := -ffp-contract=off
FLAGS_avx2       := -mavx2 -mfma -mf16c -mbmi2 -O3 -ffp-contract=off
FLAGS_avx512     := -mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq \
                    -mavx512vbmi -mavx512vnni -mprefer-vector-width=512 -O3 -ffp-contract=off

PKGS    := jansson smartcols openblas
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
LDLIBS  = $(PKG_LIBS) -ldl -lm -lpthread

REF_SRC     := $(wildcard ref/*.c)
IMPL_SRC    := $(filter-out impl/cpu/avx2/% impl/cpu/avx512/%, \
                 $(wildcard impl/*.c impl/cpu/*.c impl/cpu/scalar/*.c impl/eager/*.c \
                            impl/transient/*.c impl/ggml/*.c))
ifeq ($(ARCH),x86_64)
IMPL_SRC    += $(wildcard impl/cpu/avx2/*.c impl/cpu/avx512/*.c)
endif
DATA_SRC    := $(wildcard datasets/*.c)
HARNESS_SRC := $(filter-out harness/main.c,$(wildcard harness/*.c))
LIB_SRC     := $(REF_SRC) $(IMPL_SRC)
TEST_SRC    := $(wildcard */tests/*.c impl/cpu/tests/*.c)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

.PHONY: all
all: $(BUILD)/assay $(BUILD)/libassay.a

$(BUILD)/ref/%.o:             ISA_FLAGS = $(FLAGS_ref)
$(BUILD)/impl/%.o:            ISA_FLAGS = $(FLAGS_impl)
$(BUILD)/impl/cpu/avx2/%.o:   ISA_FLAGS = $(FLAGS_avx2)
$(BUILD)/impl/cpu/avx512/%.o: ISA_FLAGS = $(FLAGS_avx512)

$(BUILD)/%.o: %.c Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) $(ISA_FLAGS) -c -o $@ $<

$(BUILD)/libassay.a: $(call obj,$(LIB_SRC))
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/assay: $(call obj,harness/main.c $(HARNESS_SRC) $(DATA_SRC)) $(BUILD)/libassay.a
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/tests: $(call obj,$(TEST_SRC) $(HARNESS_SRC) $(DATA_SRC)) $(BUILD)/libassay.a
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ -lcriterion $(LDLIBS)

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(DATA_SRC) $(HARNESS_SRC) harness/main.c $(TEST_SRC)))
