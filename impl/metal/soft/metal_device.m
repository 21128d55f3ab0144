/* Device, buffers, libraries, functions and pipelines of the software Metal device. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#import "metal.h"

NSString *const MTLLibraryErrorDomain = @"MTLLibraryErrorDomain";
NSString *const MTLCommandBufferErrorDomain = @"MTLCommandBufferErrorDomain";

NSError *assay_soft_error(NSString *domain, NSInteger code, const char *message) {
    NSString *text = [NSString stringWithUTF8String:message];
    NSDictionary *info = [NSDictionary dictionaryWithObject:text ? text : @"error that is no UTF-8"
                                                     forKey:NSLocalizedDescriptionKey];
    return [NSError errorWithDomain:domain code:code userInfo:info];
}

static id fail(NSError **error, NSInteger code, const char *message) {
    if (error != NULL)
        *error = assay_soft_error(MTLLibraryErrorDomain, code, message);
    return nil;
}

static enum assay_soft_mode mode(void) {
    const char *m = getenv("ASSAY_METAL_MODE");
    return m != NULL && strcmp(m, "checked") == 0 ? ASSAY_SOFT_CHECKED : ASSAY_SOFT_FAST;
}

@implementation MTLCompileOptions
@synthesize fastMathEnabled = _fastMathEnabled;
@synthesize languageVersion = _languageVersion;
@end

@implementation MTLFunctionConstantValues
static size_t type_size(MTLDataType type) {
    switch (type) {
    case MTLDataTypeBool:
    case MTLDataTypeChar:
    case MTLDataTypeUChar: return 1;
    case MTLDataTypeShort:
    case MTLDataTypeUShort:
    case MTLDataTypeHalf: return 2;
    default: return 4;
    }
}
- (void)setConstantValue:(const void *)value type:(MTLDataType)type atIndex:(NSUInteger)index {
    if (index >= MSL_MAX_CONSTANTS)
        [NSException raise:NSRangeException
                    format:@"function constant %lu of %u", (unsigned long)index, MSL_MAX_CONSTANTS];
    _values[index] = 0;
    memcpy(&_values[index], value, type_size(type));
    _types[index] = (unsigned char)type;
}
@end

static MTLDataType type_named(const char *name) {
    static const struct {
        const char *name;
        MTLDataType type;
    } types[] = {{"bool", MTLDataTypeBool},     {"char", MTLDataTypeChar},
                 {"uchar", MTLDataTypeUChar},   {"short", MTLDataTypeShort},
                 {"ushort", MTLDataTypeUShort}, {"int", MTLDataTypeInt},
                 {"uint", MTLDataTypeUInt},     {"float", MTLDataTypeFloat},
                 {"half", MTLDataTypeHalf},     {"int32_t", MTLDataTypeInt},
                 {"uint32_t", MTLDataTypeUInt}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return 0;
}

@implementation AssaySoftBuffer
- (id<MTLDevice>)device { return _device; }
- (NSUInteger)length { return _length; }
- (void *)contents { return _base; }
- (void)dealloc {
    [_device changeAllocated:_length grow:NO];
    if (_owned)
        free(_base);
    else if (_deallocator != nil)
        _deallocator(_base, _length);
    [_deallocator release];
    [_device release];
    [super dealloc];
}
@end

@implementation AssaySoftFunction
- (id<MTLDevice>)device { return _owner->_device; }
- (NSString *)name { return [NSString stringWithUTF8String:_kernel->name]; }
- (void)dealloc {
    [_owner release];
    [super dealloc];
}
@end

@implementation AssaySoftLibrary
- (id<MTLDevice>)device { return _device; }
- (NSArray *)functionNames {
    NSMutableArray *names = [NSMutableArray array];
    const struct msl_module *m = assay_soft_module(_library);
    for (unsigned i = 0; i < m->n_kernels; i++)
        [names addObject:[NSString stringWithUTF8String:m->kernels[i].name]];
    return names;
}
- (id<MTLFunction>)newFunctionWithName:(NSString *)name {
    const struct msl_kernel *kernel = assay_soft_kernel(_library, [name UTF8String]);
    if (kernel == NULL)
        return nil;
    AssaySoftFunction *f = [[AssaySoftFunction alloc] init];
    f->_owner = [self retain];
    f->_kernel = kernel;
    return f;
}
- (id<MTLFunction>)newFunctionWithName:(NSString *)name
                        constantValues:(MTLFunctionConstantValues *)values
                                 error:(NSError **)error {
    char message[256];
    AssaySoftFunction *f = (AssaySoftFunction *)[self newFunctionWithName:name];
    if (f == nil) {
        snprintf(message, sizeof message, "no kernel named %s", [name UTF8String]);
        return fail(error, MTLLibraryErrorFunctionNotFound, message);
    }
    const struct msl_module *m = assay_soft_module(_library);
    for (unsigned i = 0; i < m->n_constants; i++) {
        const struct msl_function_constant *c = &m->constants[i];
        MTLDataType type = values->_types[c->index];
        bool set = values->_types[c->index] != 0 || (type_size(type) == 1 && type != 0);
        if (set && type != type_named(c->type)) {
            snprintf(message, sizeof message, "function_constant(%u) '%s' is of type %s", c->index,
                     c->name, c->type);
        } else if (!set && !c->optional) {
            snprintf(message, sizeof message, "function_constant(%u) '%s' has no value", c->index,
                     c->name);
        } else {
            f->_set[c->index] = set;
            f->_constants[c->index] = values->_values[c->index];
            continue;
        }
        [f release];
        return fail(error, MTLLibraryErrorCompileFailure, message);
    }
    return f;
}
- (void)dealloc {
    assay_soft_library_free(_library);
    [_device release];
    [super dealloc];
}
@end

@implementation AssaySoftPipeline
- (id<MTLDevice>)device { return _function->_owner->_device; }
- (NSUInteger)maxTotalThreadsPerThreadgroup {
    unsigned n = _function->_kernel->max_threads;
    return n ? n : ASSAY_SOFT_MAX_THREADS;
}
- (NSUInteger)threadExecutionWidth { return MSL_LANES; }
- (void)dealloc {
    [_function release];
    [super dealloc];
}
@end

@implementation AssaySoftDevice
- (NSString *)name { return @"assay software device (emulated)"; }
- (BOOL)hasUnifiedMemory { return YES; }
- (NSUInteger)currentAllocatedSize { return _allocated; }
- (NSUInteger)maxBufferLength { return (NSUInteger)1 << 40; }
- (NSUInteger)maxThreadgroupMemoryLength { return ASSAY_SOFT_MAX_THREADGROUP; }
- (MTLSize)maxThreadsPerThreadgroup {
    return MTLSizeMake(ASSAY_SOFT_MAX_THREADS, ASSAY_SOFT_MAX_THREADS, ASSAY_SOFT_MAX_THREADS);
}
- (uint64_t)recommendedMaxWorkingSetSize {
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}
- (void)changeAllocated:(NSUInteger)bytes grow:(BOOL)grow {
    @synchronized(self) {
        _allocated = grow ? _allocated + bytes : _allocated - bytes;
    }
}
- (id<MTLCommandQueue>)newCommandQueue {
    AssaySoftQueue *q = [[AssaySoftQueue alloc] init];
    q->_device = [self retain];
    q->_committed = [[NSMutableArray alloc] init];
    return q;
}
- (AssaySoftBuffer *)newBufferAt:(void *)base length:(NSUInteger)length owned:(BOOL)owned {
    AssaySoftBuffer *b = [[AssaySoftBuffer alloc] init];
    b->_device = [self retain];
    b->_base = base;
    b->_length = length;
    b->_owned = owned;
    [self changeAllocated:length grow:YES];
    return b;
}
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
    /* Pages of their own and zeros, as a fresh Metal buffer has; a page more, so that what runs over
     * the end does not land in the next buffer. */
    NSUInteger page = (NSUInteger)sysconf(_SC_PAGESIZE);
    void *base;
    (void)options;
    if (length == 0 || length > [self maxBufferLength] ||
        posix_memalign(&base, page, (length + 2 * page - 1) / page * page) != 0)
        return nil;
    memset(base, 0, length);
    return [self newBufferAt:base length:length owned:YES];
}
- (id<MTLBuffer>)newBufferWithBytes:(const void *)bytes
                             length:(NSUInteger)length
                            options:(MTLResourceOptions)options {
    id<MTLBuffer> b = [self newBufferWithLength:length options:options];
    if (b != nil)
        memcpy([b contents], bytes, length);
    return b;
}
- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void *)pointer
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void *pointer, NSUInteger length))deallocator {
    NSUInteger page = (NSUInteger)sysconf(_SC_PAGESIZE);
    (void)options;
    if (pointer == NULL || length == 0 || (NSUInteger)pointer % page != 0 || length % page != 0)
        return nil;
    AssaySoftBuffer *b = [self newBufferAt:pointer length:length owned:NO];
    b->_deallocator = [deallocator copy];
    return b;
}
- (id<MTLLibrary>)wrap:(struct assay_soft_library *)library {
    AssaySoftLibrary *l = [[AssaySoftLibrary alloc] init];
    l->_device = [self retain];
    l->_library = library;
    return l;
}
- (id<MTLLibrary>)newLibraryWithSource:(NSString *)source
                               options:(MTLCompileOptions *)options
                                 error:(NSError **)error {
    char message[16384];
    struct assay_soft_library *library;
    (void)options;
    if (!assay_soft_library_create([source UTF8String], "program_source", mode(), &library, message,
                                   sizeof message))
        return fail(error, MTLLibraryErrorCompileFailure, message);
    return [self wrap:library];
}
- (id<MTLLibrary>)newLibraryWithURL:(NSURL *)url error:(NSError **)error {
    char message[1024];
    struct assay_soft_library *library;
    NSString *path = [url isFileURL] ? [url path] : nil;
    if (path == nil)
        return fail(error, MTLLibraryErrorUnsupported, "libraries come from files");
    if (!assay_soft_library_open([path fileSystemRepresentation], &library, message,
                                 sizeof message))
        return fail(error, MTLLibraryErrorUnsupported, message);
    return [self wrap:library];
}
- (id<MTLComputePipelineState>)newComputePipelineStateWithFunction:(id<MTLFunction>)function
                                                             error:(NSError **)error {
    if (function == nil)
        return fail(error, MTLLibraryErrorFunctionNotFound, "pipeline without a function");
    AssaySoftFunction *f = (AssaySoftFunction *)function;
    const struct msl_module *m = assay_soft_module(f->_owner->_library);
    for (unsigned i = 0; i < m->n_constants; i++)
        if (!f->_set[m->constants[i].index] && !m->constants[i].optional) {
            char message[256];
            snprintf(message, sizeof message, "%s: function_constant(%u) '%s' has no value",
                     f->_kernel->name, m->constants[i].index, m->constants[i].name);
            return fail(error, MTLLibraryErrorCompileFailure, message);
        }
    AssaySoftPipeline *p = [[AssaySoftPipeline alloc] init];
    p->_function = [f retain];
    return p;
}
@end

id<MTLDevice> MTLCreateSystemDefaultDevice(void) {
    static AssaySoftDevice *shared;
    char why[128];
    if (assay_soft_compiler(why, sizeof why) == NULL)
        return nil;
    @synchronized([AssaySoftDevice class]) {
        if (shared == nil)
            shared = [[AssaySoftDevice alloc] init];
    }
    return [shared retain];
}
