/* The Objective-C part of the Metal backend (host.h). Manual retain and release: GNUstep's runtime on
 * Linux has no other, and Apple's takes it too. */
#import <Foundation/Foundation.h>
#import <Metal/Metal.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "impl/metal/host.h"

struct metal_device {
    id<MTLDevice> device;
    id<MTLCommandQueue> queue;
    NSString *sources;
    NSMutableDictionary *libraries; /* by source */
    NSMutableDictionary *pipelines; /* by kernel */
    char name[64];
};

struct metal_commands {
    struct metal_device *device;
    NSAutoreleasePool *pool; /* command buffer and encoder live in it */
    id<MTLCommandBuffer> buffer;
    id<MTLComputeCommandEncoder> encoder;
};

/* One line, whatever the description holds. */
static bool refuse(char *err, size_t err_size, NSString *what, NSError *why) {
    NSString *text = what;
    if (why != nil)
        text = [NSString stringWithFormat:@"%@: %@", what, [why localizedDescription]];
    snprintf(err, err_size, "%s", [text UTF8String]);
    for (char *c = err; *c != '\0'; c++)
        if (*c == '\n')
            *c = ' ';
    return false;
}

/* ---- Device, libraries, pipelines ---- */

static void close_device(struct metal_device *d) {
    if (d == NULL)
        return;
    [d->pipelines release];
    [d->libraries release];
    [d->sources release];
    [d->queue release];
    [d->device release];
    free(d);
}

static struct metal_device *open_device(const char *sources, char *err, size_t err_size) {
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    struct metal_device *d = calloc(1, sizeof *d);
    if (d == NULL) {
        snprintf(err, err_size, "out of memory for a device");
    } else {
        d->device = MTLCreateSystemDefaultDevice();
        d->queue = [d->device newCommandQueue];
        if (d->device == nil || d->queue == nil) {
            refuse(err, err_size, d->device == nil ? @"no Metal device" : @"no command queue", nil);
            close_device(d);
            d = NULL;
        }
    }
    if (d != NULL) {
        d->sources = [[NSString alloc] initWithUTF8String:sources];
        d->libraries = [[NSMutableDictionary alloc] init];
        d->pipelines = [[NSMutableDictionary alloc] init];
        snprintf(d->name, sizeof d->name, "%s", [[d->device name] UTF8String]);
    }
    [pool release];
    return d;
}

static const char *device_name(const struct metal_device *d) { return d->name; }

static size_t allocated(const struct metal_device *d) { return [d->device currentAllocatedSize]; }

/* Compiled ahead where the file is there, else from source. Kernels promise what IEEE arithmetic
 * gives, so the compiler must not assume finite numbers or reorder sums. */
static id<MTLLibrary> library_of(struct metal_device *d, NSString *source, char *err,
                                 size_t err_size) {
    id<MTLLibrary> library = [d->libraries objectForKey:source];
    if (library != nil)
        return library;
    NSError *why = nil;
    NSString *path = [NSString stringWithFormat:@"%@/%@.metallib", d->sources, source];
    if (access([path UTF8String], R_OK) == 0) {
        library = [d->device newLibraryWithURL:[NSURL fileURLWithPath:path] error:&why];
    } else {
        path = [NSString stringWithFormat:@"%@/%@.metal", d->sources, source];
        NSString *text = [NSString stringWithContentsOfFile:path
                                                   encoding:NSUTF8StringEncoding
                                                      error:&why];
        MTLCompileOptions *options = [[MTLCompileOptions alloc] init];
        [options setFastMathEnabled:NO];
        if (text != nil)
            library = [d->device newLibraryWithSource:text options:options error:&why];
        [options release];
    }
    if (library == nil) {
        refuse(err, err_size, path, why);
        return nil;
    }
    [d->libraries setObject:library forKey:source];
    [library release]; /* the dictionary has it */
    return library;
}

static id<MTLComputePipelineState> pipeline_of(struct metal_device *d, const char *source,
                                               const char *kernel, char *err, size_t err_size) {
    NSString *name = [NSString stringWithUTF8String:kernel];
    id<MTLComputePipelineState> pipeline = [d->pipelines objectForKey:name];
    if (pipeline != nil)
        return pipeline;
    id<MTLLibrary> library =
        library_of(d, [NSString stringWithUTF8String:source], err, err_size);
    if (library == nil)
        return nil;
    NSError *why = nil;
    id<MTLFunction> function = [library newFunctionWithName:name];
    if (function != nil)
        pipeline = [d->device newComputePipelineStateWithFunction:function error:&why];
    if (pipeline == nil)
        refuse(err, err_size,
               [NSString stringWithFormat:@"%@ kernel %@", function ? @"pipeline of" : @"no", name],
               why);
    else
        [d->pipelines setObject:pipeline forKey:name];
    [function release];
    [pipeline release];
    return pipeline;
}

/* ---- Buffers ---- */

static struct metal_buffer *buffer_new(struct metal_device *d, size_t bytes) {
    if (bytes > [d->device maxBufferLength])
        return NULL;
    return (struct metal_buffer *)[d->device newBufferWithLength:bytes
                                                         options:MTLResourceStorageModeShared];
}

static struct metal_buffer *buffer_wrap(struct metal_device *d, const void *p, size_t bytes,
                                        size_t *offset) {
    size_t page = (size_t)getpagesize();
    uintptr_t start = (uintptr_t)p / page * page;
    size_t length = ((uintptr_t)p + bytes - start + page - 1) / page * page;
    *offset = (uintptr_t)p - start;
    if (length > [d->device maxBufferLength])
        return NULL;
    return (struct metal_buffer *)[d->device newBufferWithBytesNoCopy:(void *)start
                                                               length:length
                                                              options:MTLResourceStorageModeShared
                                                          deallocator:nil];
}

static void *contents(struct metal_buffer *b) { return [(id<MTLBuffer>)b contents]; }

static void buffer_free(struct metal_buffer *b) { [(id<MTLBuffer>)b release]; }

/* ---- Commands ---- */

static void discard(struct metal_commands *c) {
    if (c->encoder != nil)
        [c->encoder endEncoding];
    [c->pool release];
    free(c);
}

static struct metal_commands *commands(struct metal_device *d) {
    struct metal_commands *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->device = d;
    c->pool = [[NSAutoreleasePool alloc] init];
    c->buffer = [d->queue commandBuffer];
    c->encoder = [c->buffer computeCommandEncoder];
    if (c->encoder == nil) {
        discard(c);
        return NULL;
    }
    return c;
}

static bool dispatch(struct metal_commands *c, const struct metal_dispatch *what, char *err,
                     size_t err_size) {
    id<MTLComputePipelineState> pipeline =
        pipeline_of(c->device, what->source, what->kernel, err, err_size);
    if (pipeline == nil)
        return false;
    if (what->threads > [pipeline maxTotalThreadsPerThreadgroup]) {
        snprintf(err, err_size, "%s: this device takes %zu threads a group, not %zu", what->kernel,
                 (size_t)[pipeline maxTotalThreadsPerThreadgroup], what->threads);
        return false;
    }
    if ([pipeline threadExecutionWidth] != 32) {
        snprintf(err, err_size, "%s: this device has simdgroups of %zu, not 32", what->kernel,
                 (size_t)[pipeline threadExecutionWidth]);
        return false;
    }
    [c->encoder setComputePipelineState:pipeline];
    for (size_t i = 0; i < what->n_bindings; i++) {
        const struct metal_binding *b = &what->bindings[i];
        if (b->buffer != NULL)
            [c->encoder setBuffer:(id<MTLBuffer>)b->buffer offset:b->offset atIndex:i];
        else
            [c->encoder setBytes:what->args length:what->args_size atIndex:i];
    }
    [c->encoder dispatchThreadgroups:MTLSizeMake(what->groups[0], what->groups[1], 1)
               threadsPerThreadgroup:MTLSizeMake(what->threads, 1, 1)];
    return true;
}

static bool run(struct metal_commands *c, double *seconds, char *err, size_t err_size) {
    [c->encoder endEncoding];
    c->encoder = nil;
    [c->buffer commit];
    [c->buffer waitUntilCompleted];
    bool ok = [c->buffer status] == MTLCommandBufferStatusCompleted;
    if (!ok)
        refuse(err, err_size, @"the command buffer failed", [c->buffer error]);
    *seconds = [c->buffer GPUEndTime] - [c->buffer GPUStartTime];
    discard(c);
    return ok;
}

__attribute__((visibility("default"))) const struct metal_host assay_metal_host = {
    .open = open_device,
    .close = close_device,
    .name = device_name,
    .allocated = allocated,
    .buffer_new = buffer_new,
    .buffer_wrap = buffer_wrap,
    .contents = contents,
    .buffer_free = buffer_free,
    .commands = commands,
    .dispatch = dispatch,
    .run = run,
    .discard = discard,
};
