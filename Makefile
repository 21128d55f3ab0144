# assay: the sole build file. `make help` lists the targets. Quiet by default, V=1 shows commands.
#
#   CC=clang            compiler (gcc >= 12, clang >= 14)
#   SAN=address,undefined   sanitizers; objects go to a directory of their own
#   BUILD=dir           out-of-tree build directory
#   CROSS=aarch64       cross build with Debian's aarch64-linux-gnu-gcc, run under qemu-user
#   STATIC=1            a program that needs no library where it runs: no plugins, no BLAS baselines
#   LIBC=musl           the library alone, by musl-gcc, without OpenMP and OpenBLAS

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
# Debian's arm64 libraries, unpacked there by ci/aarch64-sysroot.sh.
SYSROOT := $(CURDIR)/build/aarch64-sysroot
RUN     := ASSAY_EMULATOR=$(shell command -v qemu-aarch64) ASSAY_EMULATOR_ROOT=$(SYSROOT) \
           qemu-aarch64 -L $(SYSROOT)
endif
ifeq ($(LIBC),musl)
CC      := musl-gcc
CC_ID   := musl
endif
empty   :=
space   := $(empty) $(empty)
comma   := ,
BUILD   ?= build/$(CC_ID)$(if $(STATIC),-static)$(if $(SAN),-$(subst $(comma),-,$(SAN)))
Q       := $(if $(V),,@)

ARCH    := $(shell $(CC) -dumpmachine 2>/dev/null | cut -d- -f1)
AARCH64 := $(filter aarch64 arm64,$(ARCH))
OS      := $(shell uname -s)

WARN    := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
           -Wvla -Wconversion
OPT     ?= -O2
KERNEL_OPT ?= -O3
ifneq ($(COVERAGE),)
# What `make coverage` builds. What is counted is compiled so that lines and branches stay those of the
# source; the rest is as fast as ever, or the checks would take hours over it.
BUILD        := build/coverage
OPT          := -Og
KERNEL_OPT   := -O2
CFLAGS       := -g
WARN         := -w
COUNT        := --coverage -fno-inline
COUNTED      := $(BUILD)/ref/%.o $(BUILD)/harness/%.o $(BUILD)/datasets/%.o
UNCOUNTED    := $(patsubst %,$(BUILD)/%.o,harness/tests/% harness/gate/tests/% harness/history/tests/% harness/faults/% ref/tests/% datasets/tests/%)
COVERAGE_SRC := ci/coverage_exit.c
COVERAGE_LD  := --coverage -Wl,--wrap=_exit
endif
ifneq ($(SAN),)
# The checks that sanitizers add set off gcc's flow warnings and make -O3 kernels take minutes to
# compile; the plain builds are the ones held to -Werror.
OPT        := -O1
KERNEL_OPT := -O1
WARN       := -w
endif
CFLAGS  ?= -g
# Input is untrusted (SECURITY.md). Sanitizers bring checks of their own, which _FORTIFY_SOURCE hides
# bugs from. Kernels work on registers and have no buffers on the stack worth guarding.
ifeq ($(SAN)$(COVERAGE),)
HARDEN  := -fstack-protector-strong $(if $(filter-out -O0,$(OPT)),-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2) -fPIE
HARDEN_LD := $(if $(filter Linux,$(shell uname -s)),-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
endif
ALL_CFLAGS = -std=c11 $(OPT) $(CFLAGS) $(WARN) -D_GNU_SOURCE -I. -MMD -MP -fno-math-errno \
             -ffile-prefix-map=$(CURDIR)=. $(OPENMP) $(HARDEN) $(SYSROOT_FLAGS) $(NO_BLAS) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all)

# For a fuzzing engine the kernels go without the sanitizers, with which clang takes a quarter of an
# hour over them: their inputs end at guard pages there, and check-san has them instrumented.
KERNEL_SAN := $(if $(findstring fuzzer,$(SAN)),-fno-sanitize=address$(comma)undefined)

# gcc and clang differ in the sign of the shift counts that their intrinsics take.
KERNEL_WARN := $(if $(SAN),,-Wno-sign-conversion) $(if $(HARDEN),-fno-stack-protector)

# Per-folder flags: the folder decides the ISA. ref/ is plain portable C without contraction.
FLAGS_ref        := -ffp-contract=off -fno-openmp
FLAGS_impl       := -ffp-contract=off
FLAGS_avx2       := -mavx2 -mfma -mf16c -mbmi2 $(KERNEL_OPT) $(KERNEL_SAN) $(KERNEL_WARN) -ffp-contract=off
FLAGS_avx512     := -mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq \
                    -mavx512vbmi -mavx512vnni -mprefer-vector-width=512 $(KERNEL_OPT) $(KERNEL_SAN) $(KERNEL_WARN) -ffp-contract=off
FLAGS_neon       := -march=armv8.2-a+dotprod $(KERNEL_OPT) $(KERNEL_SAN) $(KERNEL_WARN) -ffp-contract=off
FLAGS_i8mm       := -march=armv8.2-a+dotprod+i8mm $(KERNEL_OPT) $(KERNEL_SAN) $(KERNEL_WARN) -ffp-contract=off

OPENMP        := -fopenmp
PKG_CONFIG    := pkg-config
ifeq ($(CROSS),aarch64)
SYSROOT_FLAGS := --sysroot=$(SYSROOT)
SYSROOT_LIB   := $(SYSROOT)/usr/lib/aarch64-linux-gnu
PKG_CONFIG    := PKG_CONFIG_SYSROOT_DIR=$(SYSROOT) PKG_CONFIG_LIBDIR=$(SYSROOT_LIB)/pkgconfig \
                 pkg-config
CROSS_LDLIBS  := -Wl,-rpath-link,$(SYSROOT_LIB)
else ifeq ($(OS),Darwin)
# Homebrew keeps these out of the default search paths; Apple's clang takes OpenMP by its front end.
BREW          := $(shell brew --prefix)
PKG_CONFIG    := PKG_CONFIG_PATH=$(BREW)/opt/openblas/lib/pkgconfig:$(BREW)/opt/util-linux/lib/pkgconfig:$(BREW)/opt/sqlite/lib/pkgconfig \
                 pkg-config
OPENMP        := -Xpreprocessor -fopenmp -I$(BREW)/opt/libomp/include
CROSS_LDLIBS  := -L$(BREW)/opt/libomp/lib -lomp -L$(BREW)/lib
endif
PKGS       := jansson smartcols openblas sqlite3
TABLE      := harness/table.c
ifneq ($(STATIC),)
# Debian has no static library of smartcols, and OpenBLAS's brings Fortran's run time.
PKGS       := jansson sqlite3
TABLE      := harness/table_plain.c
NO_BLAS    := -DASSAY_NO_OPENBLAS
STATIC_LINK := -static
endif
ifeq ($(LIBC),musl)
PKGS       :=
OPENMP     := -Wno-unknown-pragmas -Wno-unused-parameter
NO_BLAS    := -DASSAY_NO_OPENBLAS
endif
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
LDLIBS      = $(PKG_LIBS) $(CROSS_LDLIBS) -ldl -lm -lpthread

REF_SRC     := $(wildcard ref/*.c)
IMPL_SRC    := $(filter-out impl/cpu/avx2/% impl/cpu/avx512/%, \
                 $(wildcard impl/*.c impl/cpu/*.c impl/cpu/scalar/*.c impl/eager/*.c \
                            impl/transient/*.c impl/ggml/*.c impl/ik/*.c impl/plugin/*.c impl/metal/*.c))
ifeq ($(ARCH),x86_64)
IMPL_SRC    += $(wildcard impl/cpu/avx2/*.c impl/cpu/avx512/*.c)
endif
ifneq ($(AARCH64),)
IMPL_SRC    += $(wildcard impl/cpu/neon/*.c impl/cpu/i8mm/*.c)
endif
# The software Metal device: its C part wherever its fibres run, its Objective-C part where clang >= 16
# and GNUstep are.
ifeq ($(OS),Linux)
SOFT        := impl/metal/soft
SOFT_SRC    := $(wildcard $(SOFT)/*.c)
SOFT_ASM    := $(wildcard $(SOFT)/*.S)
SOFT_TEXT   := $(SOFT)/abi.h $(wildcard $(SOFT)/include/*)
METAL_CLANG := $(firstword $(foreach c,clang-16 clang-17 clang-18 clang-19,\
                 $(if $(shell command -v $(c) 2>/dev/null),$(c))))
OBJC_LIB    := $(patsubst %/include/objc/objc.h,%,$(wildcard \
                 $(shell gcc -print-file-name=include 2>/dev/null)/objc/objc.h))
GNUSTEP     := $(patsubst %/Foundation/Foundation.h,%,$(wildcard /usr/include/GNUstep/Foundation/Foundation.h))
METAL_LACKS := $(strip $(if $(CROSS),a native build,$(if $(METAL_CLANG),,clang-16) \
                 $(if $(OBJC_LIB),,libobjc-12-dev) $(if $(GNUSTEP),,libgnustep-base-dev) \
                 $(if $(wildcard /usr/include/Block.h),,libblocksruntime-dev)))
endif
DATA_SRC    := $(wildcard datasets/*.c)
HARNESS_SRC := $(filter-out harness/main.c $(filter-out $(TABLE),harness/table.c harness/table_plain.c) $(if $(filter x86_64,$(ARCH)),,harness/roofline_avx%) \
                            $(if $(AARCH64),,harness/roofline_neon.c harness/roofline_i8mm.c), \
                 $(wildcard harness/*.c harness/faults/*.c harness/history/*.c harness/gate/*.c)) reports/assets.c
ASSETS      := reports/report.css reports/report.js reports/faults.md $(wildcard reports/*.gp) \
               impl/plugin.h $(wildcard harness/gate/plugin/*)
LIB_SRC     := $(REF_SRC) $(IMPL_SRC)
# Criterion executes the test binary anew for each test; under qemu-user this makes that work.
CROSS_TEST_SRC := $(if $(CROSS),ci/qemu_exec.c)
TEST_SRC    := $(wildcard */tests/*.c impl/cpu/tests/*.c harness/*/tests/*.c $(if $(SOFT),$(SOFT)/tests/*.c))

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

# Flags that count an object's lines, if `make coverage` reports on it.
counted = $(if $(COVERAGE),$(if $(filter $(COUNTED),$(filter-out $(UNCOUNTED),$(1))),$(COUNT)))

.PHONY: all
all: $(BUILD)/assay $(BUILD)/libassay.a ## Build the program and the library (the default)

.DELETE_ON_ERROR:

$(BUILD)/ref/%.o:             ISA_FLAGS = $(FLAGS_ref)
$(BUILD)/impl/%.o:            ISA_FLAGS = $(FLAGS_impl)
$(BUILD)/impl/cpu/avx2/%.o:   ISA_FLAGS = $(FLAGS_avx2)
$(BUILD)/impl/cpu/avx512/%.o: ISA_FLAGS = $(FLAGS_avx512)
$(BUILD)/impl/cpu/neon/%.o:   ISA_FLAGS = $(FLAGS_neon)
$(BUILD)/impl/cpu/i8mm/%.o:   ISA_FLAGS = $(FLAGS_i8mm)
$(BUILD)/harness/%_avx2.o:    ISA_FLAGS = $(FLAGS_avx2)
$(BUILD)/harness/%_avx512.o:  ISA_FLAGS = $(FLAGS_avx512)
$(BUILD)/harness/%_neon.o:    ISA_FLAGS = $(FLAGS_neon)
$(BUILD)/harness/%_i8mm.o:    ISA_FLAGS = $(FLAGS_i8mm)

ifneq ($(COVERAGE),)
$(BUILD)/impl/%.o $(BUILD)/harness/faults/%.o: OPT = -O2
endif

# The report's style sheet and plot scripts, as C.
$(BUILD)/reports/assets.c: ci/embed.sh $(ASSETS)
	$(Q)mkdir -p $(@D); ci/embed.sh $(ASSETS) >$@
$(BUILD)/reports/assets.o: $(BUILD)/reports/assets.c Makefile
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# What env.c tells about this build. The file changes only when its content does, so that a commit
# compiles one file anew.
STAMP := $(BUILD)/stamp.h
# An unpacked tarball (COMMIT is in it) must not take the commit of a repository around it.
GIT   := GIT_CEILING_DIRECTORIES=$(abspath $(CURDIR)/..) git
.PHONY: FORCE
$(STAMP): FORCE
	$(Q)mkdir -p $(@D); { \
	    echo '#define ASSAY_VERSION "$(VERSION)"'; \
	    echo "#define ASSAY_COMMIT \"$$(cat COMMIT 2>/dev/null || $(GIT) rev-parse HEAD 2>/dev/null || echo unknown)\""; \
	    echo "#define ASSAY_BRANCH \"$$(ci/branch.sh)\""; \
	    echo "#define ASSAY_COMMIT_DATE \"$$(TZ=UTC $(GIT) show -s --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd HEAD 2>/dev/null)\""; \
	    echo "#define ASSAY_DIRTY $$($(GIT) status --porcelain -uno 2>/dev/null | head -n 1 | grep -c .)"; \
	    echo '#define ASSAY_CFLAGS "$(subst ",\",$(strip $(OPT) $(CFLAGS)))"'; \
	} >$@.new; if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
$(BUILD)/harness/env.o: $(STAMP)
$(BUILD)/harness/env.o: ISA_FLAGS = -include $(STAMP)

$(BUILD)/%.o: %.c Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(PKG_CFLAGS) $(ISA_FLAGS) $(call counted,$@) -c -o $@ $<

$(BUILD)/libassay.a: $(call obj,$(LIB_SRC))
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/assay: $(call obj,harness/main.c $(HARNESS_SRC) $(DATA_SRC) $(COVERAGE_SRC)) $(BUILD)/libassay.a
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) $(if $(STATIC_LINK),$(STATIC_LINK),$(HARDEN_LD)) $(COVERAGE_LD) -o $@ $^ $(LDLIBS)

# Every type of the library against its reference: what LIBC=musl is judged by.
$(BUILD)/musl-check: $(call obj,ci/musl_check.c $(DATA_SRC)) $(BUILD)/libassay.a
	$(Q)$(CC) $(ALL_CFLAGS) -static -o $@ $^ -lm -lpthread

$(BUILD)/tests: $(call obj,$(TEST_SRC) $(HARNESS_SRC) $(DATA_SRC) $(CROSS_TEST_SRC) $(COVERAGE_SRC)) $(BUILD)/libassay.a \
                $(if $(SOFT),$(BUILD)/libsoftmetal.a)
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(COVERAGE_LD) $(HARDEN_LD) -o $@ $^ -lcriterion $(LDLIBS)

# The program with allocations that fail on request, judged for leaks as well (ci/alloc.sh).
WRAPPED := malloc calloc realloc aligned_alloc posix_memalign strdup strndup realpath mmap fopen \
           fdopen tmpfile open_memstream opendir
$(BUILD)/assay-fail-alloc: $(call obj,harness/main.c $(HARNESS_SRC) $(DATA_SRC) ci/fail_alloc.c $(COVERAGE_SRC)) \
                           $(BUILD)/libassay.a
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(HARDEN_LD) -fsanitize=leak $(COVERAGE_LD) $(addprefix -Wl$(comma)--wrap=,$(WRAPPED)) -o $@ $^ $(LDLIBS)

# ---- The software Metal device (Linux) -------------------------------------------------------------
# libsoftmetal.a is position-independent, for a shared object of the host code; with the Objective-C
# framework where that can be built.

ifdef SOFT
SOFT_OBJ  := $(call obj,$(SOFT_SRC)) $(patsubst %.S,$(BUILD)/%.o,$(SOFT_ASM)) $(BUILD)/$(SOFT)/headers.o
SOFT_M    := $(wildcard $(SOFT)/*.m)
# GNUstep on GCC's Objective-C run time: manual retain and release, which macOS takes too.
OBJC_FLAGS := -std=c11 -O2 -g -D_GNU_SOURCE -I. -I$(SOFT) -MMD -MP -fPIC -fblocks -Wall -Wextra -Werror \
              -Wno-unused-parameter -fobjc-runtime=gcc -fconstant-string-class=NSConstantString \
              -fexceptions -fobjc-exceptions -D_NATIVE_OBJC_EXCEPTIONS -DGNUSTEP \
              -DGNUSTEP_BASE_LIBRARY=1 -DGNU_RUNTIME=1 -I$(SOFT)/compat -isystem $(GNUSTEP) \
              -idirafter $(OBJC_LIB)/include
OBJC_LIBS  := -L$(OBJC_LIB) -lgnustep-base -lobjc -lBlocksRuntime
ifeq ($(METAL_LACKS),)
SOFT_OBJ  += $(patsubst %.m,$(BUILD)/%.o,$(SOFT_M))
endif

$(BUILD)/$(SOFT)/%.o: ISA_FLAGS = -fPIC
$(BUILD)/$(SOFT)/headers.c: $(SOFT)/embed.sh $(SOFT_TEXT)
	$(Q)mkdir -p $(@D); sh $(SOFT)/embed.sh $(SOFT_TEXT) >$@
$(BUILD)/$(SOFT)/headers.o: $(BUILD)/$(SOFT)/headers.c Makefile
	$(if $(V),,@echo "  CC    $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(ISA_FLAGS) -c -o $@ $<
$(BUILD)/$(SOFT)/%.o: $(SOFT)/%.S Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  AS    $<")
	$(Q)$(CC) -c -o $@ $<
$(BUILD)/$(SOFT)/%.o: $(SOFT)/%.m Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  OBJC  $<")
	$(Q)$(METAL_CLANG) $(OBJC_FLAGS) -c -o $@ $<

$(BUILD)/libsoftmetal.a: $(SOFT_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^

$(BUILD)/msl-compile: $(BUILD)/$(SOFT)/tools/msl_compile.o $(call obj,$(SOFT_SRC)) \
                      $(patsubst %.S,$(BUILD)/%.o,$(SOFT_ASM)) $(BUILD)/$(SOFT)/headers.o
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $^ $(LDLIBS)

# Linked without the sanitizers' run time, so only in a plain build.
$(BUILD)/metal-host: $(BUILD)/$(SOFT)/tests/host.o $(BUILD)/libsoftmetal.a
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(METAL_CLANG) -o $@ $^ $(OBJC_LIBS) -ldl -lm -lpthread

.PHONY: check-metal-host
ifeq ($(METAL_LACKS)$(SAN),)
check-metal-host: $(BUILD)/metal-host ## The Objective-C framework of the software Metal device
	$(Q)for mode in fast checked; do echo "  TEST  metal-host ($$mode)"; \
	    ASSAY_METAL_CACHE=$(BUILD)/metal-cache ASSAY_METAL_MODE=$$mode $< || exit 1; done
else
check-metal-host:
	@echo "SKIP metal-host: needs $(if $(METAL_LACKS),$(METAL_LACKS),a build without sanitizers)"
endif

$(BUILD)/$(SOFT)/tests/%.o: ISA_FLAGS = -DASSAY_TEST_SOFT='"$(abspath $(SOFT))"' \
                                        -DASSAY_TEST_CACHE='"$(abspath $(BUILD))/metal-cache"'
$(BUILD)/$(SOFT)/tests/host.o: ISA_FLAGS =
-include $(SOFT_OBJ:.o=.d) $(BUILD)/$(SOFT)/tools/msl_compile.d
else
.PHONY: check-metal-host
check-metal-host:
endif

# Shared objects: the example, and the tests' plugins.
PLUGINS := $(patsubst %.c,$(BUILD)/%.so,$(wildcard impl/example/*.c harness/tests/plugins/*.c))

.PHONY: plugins
plugins: $(PLUGINS) ## Build the example plugin and those of the tests

$(BUILD)/%.so: %.c impl/plugin.h Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  SO    $@")
	$(Q)$(CC) $(ALL_CFLAGS) -fPIC -shared -o $@ $< -ldl -lm

$(BUILD)/harness/tests/test_plugin.o: ISA_FLAGS = -DASSAY_TEST_BUILD='"$(abspath $(BUILD))"'

# Fuzz targets. Built as they are they replay a corpus; with a fuzzing engine they search.
FUZZ_TARGETS := $(patsubst harness/fuzz/target_%.c,%,$(wildcard harness/fuzz/target_*.c))
FUZZ_ENGINE  := $(if $(or $(findstring fuzzer,$(SAN)),$(findstring afl,$(CC_ID))),yes)
FUZZ_SRC     := harness/fuzz/fuzz.c harness/fuzz/markup.c ref/tests/ggml_oracle.c $(if $(FUZZ_ENGINE),,harness/fuzz/replay.c)
# Not on macOS, whose linker has no --wrap: there no allocation fails.
FUZZ_WRAP    := $(if $(filter Linux,$(OS)),-Wl$(comma)--wrap=malloc$(comma)--wrap=calloc$(comma)--wrap=realloc$(comma)--wrap=strdup)

$(BUILD)/fuzz/%: $(BUILD)/harness/fuzz/target_%.o $(call obj,$(FUZZ_SRC) $(HARNESS_SRC) $(DATA_SRC)) $(BUILD)/libassay.a
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  LINK  $@")
	$(Q)$(CC) $(ALL_CFLAGS) $(if $(FUZZ_ENGINE),-fsanitize=fuzzer,$(HARDEN_LD)) $(if $(COVERAGE),--coverage) $(FUZZ_WRAP) -o $@ $^ $(LDLIBS)

.SECONDARY: $(FUZZ_TARGETS:%=$(BUILD)/harness/fuzz/target_%.o)

.PHONY: fuzz-build
fuzz-build: $(addprefix $(BUILD)/fuzz/,$(FUZZ_TARGETS))

-include $(patsubst %.o,%.d,$(call obj,$(LIB_SRC) $(DATA_SRC) $(HARNESS_SRC) harness/main.c $(TEST_SRC) $(FUZZ_SRC) $(FUZZ_TARGETS:%=harness/fuzz/target_%.c)))

# What a check has tried and lost, for `make robustness`: a shell word that sets the file NAME.tsv.
FIGURES = $$(mkdir -p build/robustness && printf '\043 commit\t%s\n' "$$($(GIT) rev-parse --short HEAD)" \
          >build/robustness/$(1).tsv && echo ASSAY_ROBUSTNESS=$(CURDIR)/build/robustness/$(1).tsv)

# make for the targets below: as many jobs as there are CPUs, unless -j was given.
REMAKE = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell getconf _NPROCESSORS_ONLN))

# ---- Metal --------------------------------------------------------------------------------------

# Types with kernels: those that assay decodes.
METAL_TYPES := $(shell sed -n 's/^ASSAY_TYPE.[A-Z0-9_]*, *[0-9]*, *\([a-z0-9_]*\),.* assay_dequant_.*/\1/p' \
                 ref/types.def)
METAL_IN    := $(wildcard impl/metal/kernels/*) ci/metal-source.sh ref/iq_grids.c
METAL_SRC   := $(BUILD)/metal/common.metal $(METAL_TYPES:%=$(BUILD)/metal/%.metal)

$(BUILD)/metal/common.metal: $(METAL_IN)
	$(Q)mkdir -p $(@D); sh ci/metal-source.sh common.metal.in >$@
$(METAL_TYPES:%=$(BUILD)/metal/%.metal): $(BUILD)/metal/%.metal: $(METAL_IN)
	$(Q)mkdir -p $(@D); sh ci/metal-source.sh jobs.metal.in $* >$@

# The backend's shared object and compiled kernels, in a folder beside the program (impl/metal/locate.c).
# On Linux the kernels are compiled for the software device, a second time with its checks.
METAL_NAMES := common $(METAL_TYPES)
METAL_FILES := $(BUILD)/metal/assay-metal.so $(METAL_NAMES:%=$(BUILD)/metal/%.metallib)
CHECKED     := $(BUILD)/metal-checked
CHECKED_FILES := $(CHECKED)/assay-metal.so $(METAL_NAMES:%=$(CHECKED)/%.metallib)
.SECONDARY: $(METAL_SRC)

.PHONY: metal metal-checked
metal: $(METAL_FILES) ## The backend metal, as BACKENDS=metal does: on a Mac, or emulated on Linux
metal-checked: $(CHECKED_FILES)
ifneq ($(filter metal,$(BACKENDS)),)
all: metal
endif

ifeq ($(OS),Darwin)
$(BUILD)/metal/assay-metal.so: impl/metal/metal_host.m impl/metal/host.h Makefile
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=c11 -O2 -g -Wall -Wextra -Werror -I. -fno-objc-arc -bundle -o $@ $< \
	    -framework Foundation -framework Metal
# Without Xcode's compiler for kernels they are compiled at run time, from source.
$(BUILD)/metal/%.metallib: $(BUILD)/metal/%.metal
	$(Q)if xcrun -f metal >/dev/null 2>&1; then \
	    xcrun metal -std=macos-metal2.4 -fno-fast-math -c -o $(@:.metallib=.air) $< && \
	    xcrun metallib -o $@ $(@:.metallib=.air); fi
else ifeq ($(METAL_LACKS),)
$(BUILD)/metal/metal_host.o: impl/metal/metal_host.m impl/metal/host.h Makefile
	$(Q)mkdir -p $(@D)
	$(if $(V),,@echo "  OBJC  $<")
	$(Q)$(METAL_CLANG) $(OBJC_FLAGS) -c -o $@ $<
$(BUILD)/metal/assay-metal.so: $(BUILD)/metal/metal_host.o $(BUILD)/libsoftmetal.a
	$(Q)$(METAL_CLANG) -shared -o $@ $^ $(OBJC_LIBS) -ldl -lm -lpthread
$(CHECKED)/assay-metal.so: $(BUILD)/metal/assay-metal.so
	$(Q)mkdir -p $(@D); cp $< $@
$(BUILD)/metal/%.metallib: $(BUILD)/metal/%.metal $(BUILD)/msl-compile
	$(if $(V),,@echo "  MSL   $<")
	$(Q)$(BUILD)/msl-compile $< $@
$(CHECKED)/%.metallib: $(BUILD)/metal/%.metal $(BUILD)/msl-compile
	$(if $(V),,@echo "  MSL   $< (checked)")
	$(Q)mkdir -p $(@D); $(BUILD)/msl-compile --checked $< $@
else
$(METAL_FILES) $(CHECKED_FILES):
	@echo "metal: needs $(METAL_LACKS) (ci/install-deps.sh --metal)" >&2; exit 1
endif

# What run-tests does of it: every type on the software device, and in its checked mode. The compiler of
# the kernels is clang-16 whatever CC is, so the build by gcc alone runs it.
METAL_CHECKS := $(if $(filter Linux,$(OS)$(METAL_LACKS)$(SAN)$(COVERAGE)$(filter clang,$(CC_ID))),yes)
.PHONY: check-metal
ifneq ($(METAL_CHECKS),)
check-metal: all metal metal-checked ## The metal backend on the software device, all types
	$(Q)echo "  TEST  ci/metal-check.sh"; sh ci/metal-check.sh $(BUILD)/assay $(CHECKED)
else
check-metal:
	@echo "SKIP check-metal: $(if $(filter Linux,$(OS)),needs $(if $(METAL_LACKS),$(METAL_LACKS),gcc \
and no sanitizers),on a Mac: make BACKENDS=metal, assay verify --backend metal)"
endif

.PHONY: verify-metal
verify-metal: all metal ## Every variant of the metal backend at full length (emulated: half an hour)
	$(Q)$(BUILD)/assay verify --backend metal --gguf $(MODEL) --full

.PHONY: faults-metal
faults-metal: all metal metal-checked ## Judge faulty Metal kernels on the software device
	$(Q)sh ci/faults-metal.sh $(BUILD)/assay build/faults-metal

# The same sources for an NVIDIA GPU.
NVCC       ?= $(firstword $(shell command -v nvcc) $(wildcard /usr/local/cuda/bin/nvcc))
CUDA_ARCH  ?= sm_90
CUDA_FLAGS  = -arch=$(CUDA_ARCH) -std=c++17 -O3 -I. -Xcompiler -fPIC -lineinfo \
              -DMETAL_ON_CUDA_TYPES='$(foreach t,$(METAL_TYPES),X($t))'
CUDA_OBJ   := $(METAL_SRC:%.metal=%.cu.o)
.SECONDARY: $(METAL_SRC:%.metal=%.cu)
CUDA_HDR   := $(wildcard impl/metal/cuda/*.cuh impl/metal/cuda/*.h) impl/metal/choice.h impl/plugin.h

.PHONY: metal-on-cuda
metal-on-cuda: ## The Metal kernels for an NVIDIA GPU (needs nvcc): a plugin, and a measure of bandwidth
ifeq ($(NVCC),)
	@echo "metal-on-cuda: no nvcc found (NVCC=path)" >&2; exit 1
else
	$(Q)$(REMAKE) $(BUILD)/metal-on-cuda.so $(BUILD)/metal-on-cuda-bandwidth $(BUILD)/metal-on-cuda-every
endif

# For a machine with a GPU and no compiler: KIT=folder sh impl/metal/cuda/witness.sh
KIT_LIBS := libjansson libsmartcols libopenblas libsqlite3 libgomp libgfortran libquadmath
.PHONY: witness-kit
witness-kit: all metal-on-cuda
	$(Q)rm -rf $(BUILD)/kit; mkdir $(BUILD)/kit
	$(Q)cp $(BUILD)/assay $(BUILD)/metal-on-cuda.so $(BUILD)/metal-on-cuda-bandwidth $(BUILD)/metal-on-cuda-every \
	    $$(ldd $(BUILD)/assay | awk '/$(subst $(space),|,$(KIT_LIBS))/ { print $$3 }') $(BUILD)/kit
	$(Q)strip -g $(BUILD)/kit/assay $(BUILD)/kit/metal-on-cuda-every
	$(Q)tar -C $(BUILD) -cJf $(BUILD)/kit.tar.xz kit; echo $(BUILD)/kit.tar.xz

$(BUILD)/metal/%.cu: $(BUILD)/metal/%.metal impl/metal/cuda/translate.awk
	$(Q)awk -v type=$(filter-out common,$*) -f impl/metal/cuda/translate.awk $< >$@
$(BUILD)/metal/%.cu.o: $(BUILD)/metal/%.cu $(CUDA_HDR)
	$(if $(V),,@echo "  NVCC  $<")
	$(Q)$(NVCC) $(CUDA_FLAGS) -c -o $@ $<
$(BUILD)/metal-on-cuda.so: impl/metal/cuda/plugin.cu $(CUDA_OBJ) $(CUDA_HDR)
	$(Q)$(NVCC) $(CUDA_FLAGS) -shared -o $@ $< $(CUDA_OBJ)
$(BUILD)/metal-on-cuda-bandwidth: impl/metal/cuda/bandwidth.cu $(CUDA_OBJ) $(CUDA_HDR)
	$(Q)$(NVCC) $(CUDA_FLAGS) -o $@ $< $(CUDA_OBJ)
$(BUILD)/metal-on-cuda-every: impl/metal/cuda/every.cu $(CUDA_OBJ) $(CUDA_HDR) $(call obj,$(DATA_SRC)) $(BUILD)/libassay.a
	$(Q)$(NVCC) $(CUDA_FLAGS) -o $@ $< $(CUDA_OBJ) $(call obj,$(DATA_SRC)) $(BUILD)/libassay.a \
	    -Xlinker --as-needed -Xcompiler -fopenmp $(LDLIBS)

# ---- Checks ---------------------------------------------------------------------------------------
# pkg-config runs while this file is read, so what installs packages starts make anew afterwards.

.PHONY: check
check: ## Install what is missing, build, run every test (TEST=suite/name runs a part)
	$(Q)ci/install-deps.sh --metal --browser
	$(Q)$(REMAKE) run-tests

# What the program itself does under emulation, where the shell tests don't run.
NEON_TYPES := q4_0,q4_1,q5_0,q5_1,q8_0,iq4_nl,q2_k,q3_k,q4_k,q5_k,q6_k,iq4_xs
EMULATED := "verify --backend cpu --isa scalar --type q4_0,q4_k,q6_k,iq3_s" \
            "verify --backend cpu --variant default --isa neon,i8mm --type $(NEON_TYPES) \
                 --check decode,exact,special,nonfinite,batch,slice,memory,hygiene" \
            "faults --correct --only f16/tile" \
            "faults --only nibble-swap"

# One compiler will do: sites are known by function, and what is inlined differs.
ALLOC_TEST := $(if $(filter gcc cc,$(CC_ID)),$(if $(SAN)$(CROSS),,$(BUILD)/assay-fail-alloc))

# Processes, limits, pages and CI files are the same whatever compiled the program: once plain, once with
# sanitizers.
ONCE := $(patsubst %,harness/tests/%.sh,hostile limits killed ci_files report_web report_history)
# A library whose lines are counted can't be linked by a consumer that knows nothing of that.
SHELL_TESTS := $(filter-out $(if $(SAN),,$(if $(filter clang,$(CC_ID)),$(ONCE))) \
                            $(if $(COVERAGE),harness/tests/install.sh),$(wildcard harness/tests/*.sh))

# Shell tests of the command line first: Criterion's summary is the closing line.
.PHONY: run-tests
run-tests: all plugins $(BUILD)/tests replay check-metal-host check-metal $(ALLOC_TEST)
	$(Q)$(if $(CROSS),,for t in $(SHELL_TESTS); do \
	    echo "  TEST  $$t"; sh $$t $(BUILD)/assay || exit 1; done)
	$(Q)$(if $(ALLOC_TEST),echo "  TEST  ci/alloc.sh"; ci/alloc.sh $(ALLOC_TEST) $(if $(COVERAGE),quick,fast))
	$(Q)$(if $(CROSS),for a in $(EMULATED); do \
	    echo "  TEST  assay $$a"; $(RUN) $(BUILD)/assay $$a || exit 1; done)
	@echo "  TEST  $(BUILD)/tests"
	$(Q)$(RUN) $(BUILD)/tests --short-filename $(if $(TEST),--filter '$(TEST)')

# In seconds: every input of the corpus through its target.
.PHONY: replay
replay: fuzz-build
	$(Q)for t in $(FUZZ_TARGETS); do \
	    printf '  TEST  fuzz corpus of %s: ' $$t; \
	    $(RUN) $(BUILD)/fuzz/$$t harness/fuzz/corpus/$$t || exit 1; done

.PHONY: check-clang
check-clang: ## The tests built by clang
	$(Q)ci/install-deps.sh --clang
	$(Q)$(REMAKE) CC=clang run-tests

.PHONY: check-san
check-san: ## The tests under the address and undefined-behaviour sanitizers
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) SAN=address,undefined run-tests

.PHONY: check-tsan
check-tsan: ## The kernels on two threads under clang's ThreadSanitizer
	$(Q)ci/install-deps.sh --clang
	$(Q)$(REMAKE) CC=clang SAN=thread run-tsan

.PHONY: run-tsan
run-tsan: all
	$(Q)ci/tsan.sh $(BUILD)/assay

.PHONY: check-aarch64
check-aarch64: ## The tests built for AArch64 and run under qemu-user (Debian only)
	$(Q)ci/install-deps.sh --aarch64
	$(Q)if ! command -v apt-get >/dev/null; then echo "SKIP check-aarch64: needs Debian packages"; \
	else ci/aarch64-sysroot.sh build/aarch64-sysroot && \
	     $(REMAKE) CROSS=aarch64 run-tests; fi

.PHONY: check-packaging
check-packaging: ## Static, musl, reproducible build, tarball, Debian package (20 minutes; Debian only)
	$(Q)ci/install-deps.sh --packaging
	$(Q)env $(call FIGURES,packaging) ci/packaging.sh all

# Everything that a machine with SVE and I8MM runs, the verifier's whole quick plan on pages of each
# size that Linux has there. Emulated pages are the emulator's word to the program, mprotect works in the
# host's.
PAGES := 4096 16384 65536
.PHONY: check-aarch64-full
check-aarch64-full: ## The verifier under qemu-user -cpu max, pages of 4, 16 and 64 KiB (Debian only)
	$(Q)ci/install-deps.sh --aarch64
	$(Q)ci/aarch64-sysroot.sh build/aarch64-sysroot && env $(call FIGURES,aarch64) $(REMAKE) CROSS=aarch64 run-aarch64-full

.PHONY: run-aarch64-full
run-aarch64-full: all
	$(Q)for p in $(PAGES); do \
	    echo "  TEST  verify --quick --budget 60s, -cpu max, pages of $$p"; \
	    $(RUN) -cpu max -p $$p $(BUILD)/assay verify --backend scalar,cpu --quick --budget 60s --jobs 1 -j 1 \
	        --timeout 300 >$(BUILD)/full.log || { tail -n 30 $(BUILD)/full.log; exit 1; }; \
	    tail -n 1 $(BUILD)/full.log; \
	    [ -z "$$ASSAY_ROBUSTNESS" ] || sed -n 's/^[0-9]* cases: \([0-9]*\) passed, \([0-9]*\) failed.*/aarch64-'$$p'\t\1\t\2/p' \
	        $(BUILD)/full.log >>"$$ASSAY_ROBUSTNESS"; done

.PHONY: check-alloc
check-alloc: ## Let every allocation of a dozen commands fail, one by one (half an hour)
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all plugins $(BUILD)/assay-fail-alloc
	$(Q)env $(call FIGURES,alloc) ci/alloc.sh $(BUILD)/assay-fail-alloc full

.PHONY: check-all
check-all: ## All of the above, one after the other
	$(Q)for t in check check-clang check-san check-tsan check-aarch64; do \
	    echo "== make $$t"; $(MAKE) --no-print-directory $$t || exit 1; done

# ---- Demonstration and full verification ----------------------------------------------------------

.PHONY: demo
demo: ## Install what is missing, build, verify + bench + mem on a real model, make the report
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all
	$(Q)sh ci/demo.sh $(BUILD)/assay build/demo

.PHONY: analyze
analyze: ## cppcheck, gcc -fanalyzer and clang-tidy
	$(Q)ci/install-deps.sh --analyze
	$(Q)$(REMAKE) CC=gcc build/gcc/stamp.h
	$(Q)ci/analyze.sh build/gcc $(PKG_CFLAGS) $(OPENMP)

# memcheck knows no AVX-512.
.PHONY: check-valgrind
check-valgrind: ## The scalar path, the reader and its corpus under valgrind's memcheck
	$(Q)ci/install-deps.sh --analyze
	$(Q)$(REMAKE) all fuzz-build
	$(Q)ci/valgrind.sh $(BUILD)

.PHONY: coverage
coverage: ## Run the tests on a build that counts lines and branches: build/coverage/html/index.html
	$(Q)ci/install-deps.sh --analyze
	$(Q)find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	$(Q)$(REMAKE) CC=gcc COVERAGE=1 run-tests
	$(Q)ci/coverage.sh build/coverage all 'ref/ and harness/' '(ref|harness)/.*\.c'

.PHONY: coverage-reader
coverage-reader: ## What the fuzz corpus alone reaches of the GGUF reader
	$(Q)ci/install-deps.sh --analyze
	$(Q)find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	$(Q)$(REMAKE) CC=gcc COVERAGE=1 replay
	$(Q)ci/coverage.sh build/coverage reader 'the GGUF reader, by the fuzz corpus alone' 'datasets/gguf(_parse|_kv)?\.c'

.PHONY: verify-full
verify-full: all ## Verify every backend and ISA on every model in datasets/ and on random blocks
	$(Q)for f in $(wildcard datasets/*/*.gguf); do \
	    echo "== $$f"; $(BUILD)/assay verify --gguf $$f --tensors-only || exit 1; done
	$(Q)$(BUILD)/assay verify --full

.PHONY: ggml-verdict
ggml-verdict: all ## Judge ggml's kernels, all types: writes reports/ggml-verdict.md
	$(Q)ci/ggml-verdict.sh $(BUILD)/assay >$(BUILD)/ggml-verdict.md
	$(Q)mv $(BUILD)/ggml-verdict.md reports/ggml-verdict.md

.PHONY: peers-ik
peers-ik: ## Build ik_llama.cpp's ggml for this machine (ten minutes; cmake): the backend ik
	$(Q)ci/peer-ik.sh build/peers/ik

.PHONY: bench-peers
bench-peers: ## Time cpu beside ggml, ik_llama.cpp, OpenBLAS, all types (40 minutes): writes reports/bench-peers.md
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all
	$(Q)ci/bench-peers.sh $(BUILD)/assay >$(BUILD)/bench-peers.md
	$(Q)mv $(BUILD)/bench-peers.md reports/bench-peers.md

.PHONY: accuracy
accuracy: ## Compare errors of cpu, its exact mode and the peers (two minutes): writes reports/accuracy.md
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all
	$(Q)ci/accuracy.sh $(BUILD)/assay >$(BUILD)/accuracy.md
	$(Q)mv $(BUILD)/accuracy.md reports/accuracy.md

.PHONY: robustness
robustness: ## Try every promise of robustness, hours of fuzzing aside: writes reports/robustness.md
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all plugins fuzz-build $(BUILD)/assay-fail-alloc
	$(Q)env $(call FIGURES,tests) ci/robustness.sh $(BUILD)/assay >$(BUILD)/robustness.md
	$(Q)mv $(BUILD)/robustness.md reports/robustness.md

RUNS ?= 10000
.PHONY: false-alarms
false-alarms: all ## Judge correct kernels RUNS times (10000), count the alarms: reports/false-alarms.txt
	$(Q)$(RUN) $(BUILD)/assay false-alarms --runs $(RUNS)

FUZZ_SECONDS ?= 60
# Figures of a campaign that reports/robustness.md is to have: FUZZ_LOG=reports/fuzz.tsv.
FUZZ_LOG ?=
FUZZ_FLAGS = CC=clang SAN=address,undefined,fuzzer-no-link
.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZ_SECONDS (60) each (TARGET=gguf: that one), by libFuzzer
	$(Q)ci/install-deps.sh --clang --fuzz
	$(Q)$(REMAKE) $(FUZZ_FLAGS) run-fuzz

.PHONY: run-fuzz
run-fuzz: $(addprefix $(BUILD)/fuzz/,$(or $(TARGET),$(FUZZ_TARGETS)))
	$(Q)ASSAY_FUZZ_LOG=$(FUZZ_LOG) ci/fuzz.sh $(BUILD)/fuzz $(FUZZ_SECONDS) $(or $(TARGET),$(FUZZ_TARGETS))

.PHONY: fuzz-afl
fuzz-afl: ## The same by AFL++
	$(Q)ci/install-deps.sh --clang --fuzz
	$(Q)$(REMAKE) CC=afl-clang-fast run-fuzz

.PHONY: faults
faults: all $(if $(METAL_CHECKS),metal metal-checked) ## Judge every kernel of the fault corpus: the table of reports/faults.md
	$(Q)CC='$(CC) $(ALL_CFLAGS)' FLAGS_impl='$(FLAGS_impl)' FLAGS_avx2='$(FLAGS_avx2)' \
	    FLAGS_avx512='$(FLAGS_avx512)' LDLIBS='$(LDLIBS)' \
	    METAL_LACKS='$(if $(METAL_CHECKS),,$(or $(METAL_LACKS),Linux and no sanitizers))' \
	    OBJECTS='$(call obj,harness/main.c $(HARNESS_SRC) $(DATA_SRC)) $(BUILD)/libassay.a' \
	    sh ci/faults.sh $(BUILD)/assay build/faults

.PHONY: gate-selftest
gate-selftest: all plugins ## Measure the gate's error rates beside a load (half an hour): writes reports/gate-selftest.md
	$(Q)ci/gate-selftest.sh $(BUILD)/assay $(BUILD)/harness/tests/plugins/slowed.so \
	    >$(BUILD)/gate-selftest.md; code=$$?; cat $(BUILD)/gate-selftest.md; \
	    [ -s $(BUILD)/gate-selftest.md ] && mv $(BUILD)/gate-selftest.md reports/; exit $$code

.PHONY: gate-commits
gate-commits: all ## Let the gate find the one kernel that differs between two commits
	$(Q)ci/gate-commits.sh $(BUILD)/assay

# ---- Installation ---------------------------------------------------------------------------------

PUBLIC_HEADERS := ref/types.def ref/types.h ref/arith.h ref/gemm.h ref/act_quant.h ref/bounds.h \
                  impl/gemm_quant.h impl/backend.h impl/plugin.h

$(BUILD)/assay.1: $(BUILD)/assay
	$(Q)$(RUN) $< help-man >$@

$(BUILD)/assay.pc: Makefile
	$(Q)mkdir -p $(@D); printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' \
	    'includedir=$${prefix}/include/assay' '' 'Name: assay' \
	    'Description: quantised matrix products on GGUF blocks, and their scalar reference' \
	    'Version: $(VERSION)' 'Requires.private: openblas' 'Libs: -L$${libdir} -lassay' \
	    'Libs.private: -fopenmp -ldl -lm -lpthread' 'Cflags: -I$${includedir}' >$@

.PHONY: install
install: all $(BUILD)/assay.1 $(BUILD)/assay.pc ## Install under PREFIX (default /usr/local), staged by DESTDIR
	$(Q)set -e; to=$(DESTDIR)$(PREFIX); \
	install -d $$to/bin $$to/lib/pkgconfig $$to/share/man/man1; \
	install -m 755 $(BUILD)/assay $$to/bin/; \
	install -m 644 $(BUILD)/libassay.a $$to/lib/; \
	install -m 644 $(BUILD)/assay.pc $$to/lib/pkgconfig/; \
	install -m 644 $(BUILD)/assay.1 $$to/share/man/man1/; \
	for h in $(PUBLIC_HEADERS); do \
	    install -d $$to/include/assay/$$(dirname $$h); \
	    install -m 644 $$h $$to/include/assay/$$h; \
	done

.PHONY: dist
dist: ## Pack the committed sources: build/assay-VERSION.tar.gz
	$(Q)mkdir -p build; git archive --prefix=assay-$(VERSION)/ \
	    --add-virtual-file=assay-$(VERSION)/COMMIT:$$(git rev-parse HEAD) HEAD | \
	    gzip -n >build/assay-$(VERSION).tar.gz; echo build/assay-$(VERSION).tar.gz

.PHONY: static
static: ## A static program: build/CC-static/assay
	$(Q)$(REMAKE) STATIC=1 all

.PHONY: uninstall
uninstall: ## Remove what install put there
	$(Q)rm -f $(addprefix $(DESTDIR)$(PREFIX)/,bin/assay lib/libassay.a lib/pkgconfig/assay.pc \
	    share/man/man1/assay.1)
	$(Q)rm -rf $(DESTDIR)$(PREFIX)/include/assay

# ---- Records of the past, whole processes ----------------------------------------------------------

MODEL ?= datasets/tinylm/tinylm-Q4_K_M.gguf
.PHONY: bench-load
bench-load: ## Time loading MODEL and one pass as whole processes with hyperfine: build/load.json
	$(Q)ci/install-deps.sh
	$(Q)$(REMAKE) all
	$(Q)sh ci/bench-load.sh $(BUILD)/assay $(MODEL) build/load.json

COMMITS ?= 36
.PHONY: backfill
backfill: ## Build, verify and time COMMITS (36) earlier commits (half an hour): reports/history.jsonl
	$(Q)ci/backfill-history.sh reports/history.jsonl $(COMMITS)

.PHONY: backfill-build
backfill-build: ## Of that only the builds, which need no idle machine
	$(Q)ci/backfill-history.sh --build reports/history.jsonl $(COMMITS)

# ---- Upkeep ---------------------------------------------------------------------------------------

.PHONY: format
format: ## Format the C sources with clang-format
	$(Q)git ls-files '*.c' '*.h' | xargs clang-format -i

.PHONY: print-build
print-build:
	@echo $(BUILD)

.PHONY: clean
clean: ## Remove build/
	$(Q)rm -rf build

.PHONY: help
help: ## List the targets
	@echo "Targets:"
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | \
	    awk -F'|' '{ printf "%-16s%s\n", $$1, $$2 }'
	@echo "Variables:"
	@sed -n '/^#   /s/^# //p' $(MAKEFILE_LIST)
