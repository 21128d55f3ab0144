/* Queues, command buffers and encoders of the software Metal device. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#import "metal.h"

static CFTimeInterval now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (CFTimeInterval)t.tv_sec + 1e-9 * (CFTimeInterval)t.tv_nsec;
}

static unsigned long number(const char *variable, unsigned long otherwise) {
    const char *s = getenv(variable);
    char *end;
    unsigned long v = s != NULL ? strtoul(s, &end, 10) : 0;
    return s != NULL && end != s && *end == 0 ? v : otherwise;
}

@implementation AssaySoftCommand
- (void)dealloc {
    [_pipeline release];
    [_kept release];
    [super dealloc];
}
@end

@implementation AssaySoftQueue
- (id<MTLDevice>)device { return _device; }
- (id<MTLCommandBuffer>)commandBuffer {
    AssaySoftCommandBuffer *b = [[AssaySoftCommandBuffer alloc] init];
    b->_queue = [self retain];
    b->_commands = [[NSMutableArray alloc] init];
    return [b autorelease];
}
- (void)dealloc {
    [_committed release];
    [_device release];
    [super dealloc];
}
@end

@implementation AssaySoftCommandBuffer
- (MTLCommandBufferStatus)status { return _status; }
- (NSError *)error { return _error; }
- (CFTimeInterval)GPUStartTime { return _start; }
- (CFTimeInterval)GPUEndTime { return _end; }
- (void)misuse:(NSString *)what {
    if (_misuse == nil)
        _misuse = [what copy];
}
- (id<MTLComputeCommandEncoder>)computeCommandEncoder {
    if (_encoding)
        [self misuse:@"computeCommandEncoder before the last one's endEncoding"];
    if (_status != MTLCommandBufferStatusNotEnqueued)
        [self misuse:@"computeCommandEncoder after commit"];
    AssaySoftEncoder *e = [[AssaySoftEncoder alloc] init];
    e->_buffer = [self retain];
    _encoding = YES;
    return [e autorelease];
}
- (void)commit {
    if (_encoding)
        [self misuse:@"commit before endEncoding"];
    if (_status != MTLCommandBufferStatusNotEnqueued) {
        [self misuse:@"commit twice"];
        return;
    }
    _status = MTLCommandBufferStatusCommitted;
    [_queue->_committed addObject:self];
}
- (void)run {
    char message[2048] = "";
    bool ok = _misuse == nil;
    if (!ok)
        snprintf(message, sizeof message, "invalid use of Metal: %s", [_misuse UTF8String]);
    _start = now();
    for (NSUInteger i = 0; ok && i < [_commands count]; i++) {
        AssaySoftCommand *c = [_commands objectAtIndex:i];
        c->_dispatch.seed = number("ASSAY_METAL_SEED", 0);
        c->_dispatch.workers =
            (unsigned)number("ASSAY_METAL_WORKERS", (unsigned long)sysconf(_SC_NPROCESSORS_ONLN));
        ok = assay_soft_run(&c->_dispatch, message, sizeof message);
    }
    _end = now();
    _status = ok ? MTLCommandBufferStatusCompleted : MTLCommandBufferStatusError;
    if (!ok)
        _error = [assay_soft_error(MTLCommandBufferErrorDomain, MTLCommandBufferErrorInternal,
                                   message) retain];
    [_commands removeAllObjects];
}
- (void)waitUntilCompleted {
    NSMutableArray *committed = _queue->_committed;
    if (_status == MTLCommandBufferStatusNotEnqueued)
        [NSException raise:NSInternalInconsistencyException
                    format:@"waitUntilCompleted before commit would wait for ever"];
    while (_status == MTLCommandBufferStatusCommitted) {
        AssaySoftCommandBuffer *b = [[committed objectAtIndex:0] retain];
        [committed removeObjectAtIndex:0];
        [b run];
        [b release];
    }
}
- (void)dealloc {
    [_commands release];
    [_error release];
    [_misuse release];
    [_queue release];
    [super dealloc];
}
@end

@implementation AssaySoftEncoder
/* True if the call may go on. */
- (BOOL)open:(const char *)call index:(NSUInteger)index {
    if (_ended)
        [_buffer misuse:[NSString stringWithFormat:@"%s after endEncoding", call]];
    else if (index >= MSL_MAX_BUFFERS)
        [_buffer misuse:[NSString stringWithFormat:@"%s at index %lu, %u at most", call,
                                                   (unsigned long)index, MSL_MAX_BUFFERS - 1]];
    else
        return YES;
    return NO;
}
- (void)setComputePipelineState:(id<MTLComputePipelineState>)state {
    if (![self open:"setComputePipelineState:" index:0])
        return;
    [_pipeline autorelease];
    _pipeline = [(AssaySoftPipeline *)state retain];
}
- (void)bind:(NSObject *)what binding:(struct assay_soft_binding)binding index:(NSUInteger)index {
    [_bound[index] autorelease];
    _bound[index] = [what retain];
    _dispatch.buffers[index] = binding;
}
- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index {
    if (![self open:"setBuffer:offset:atIndex:" index:index])
        return;
    AssaySoftBuffer *b = (AssaySoftBuffer *)buffer;
    struct assay_soft_binding none = {NULL, 0, 0, false};
    struct assay_soft_binding binding = {b ? b->_base : NULL, b ? b->_length : 0, offset, false};
    [self bind:b binding:b ? binding : none index:index];
}
- (void)setBufferOffset:(NSUInteger)offset atIndex:(NSUInteger)index {
    if (![self open:"setBufferOffset:atIndex:" index:index])
        return;
    if (_dispatch.buffers[index].base == NULL || _dispatch.buffers[index].bytes)
        [_buffer misuse:@"setBufferOffset:atIndex: where no buffer is bound"];
    else
        _dispatch.buffers[index].offset = offset;
}
- (void)setBytes:(const void *)bytes length:(NSUInteger)length atIndex:(NSUInteger)index {
    if (![self open:"setBytes:length:atIndex:" index:index])
        return;
    if (bytes == NULL || length == 0 || length > ASSAY_SOFT_MAX_BYTES) {
        [_buffer misuse:[NSString stringWithFormat:@"setBytes:length:%lu, %u at most",
                                                   (unsigned long)length, ASSAY_SOFT_MAX_BYTES]];
        return;
    }
    NSData *copy = [NSData dataWithBytes:bytes length:length];
    struct assay_soft_binding binding = {(void *)[copy bytes], length, 0, true};
    [self bind:copy binding:binding index:index];
}
- (void)setThreadgroupMemoryLength:(NSUInteger)length atIndex:(NSUInteger)index {
    if ([self open:"setThreadgroupMemoryLength:atIndex:" index:index])
        _dispatch.threadgroup_bytes[index] = length;
}
- (void)encodeThreads:(MTLSize)grid group:(MTLSize)group {
    if (![self open:"dispatch" index:0])
        return;
    if (_pipeline == nil) {
        [_buffer misuse:@"dispatch without a pipeline"];
        return;
    }
    NSUInteger sizes[6] = {grid.width,  grid.height,  grid.depth,
                           group.width, group.height, group.depth};
    for (int i = 0; i < 6; i++)
        if (sizes[i] > UINT32_MAX) {
            [_buffer misuse:@"dispatch of more than 2^32 threads in one direction"];
            return;
        }
    AssaySoftCommand *c = [[AssaySoftCommand alloc] init];
    c->_dispatch = _dispatch;
    c->_pipeline = [_pipeline retain];
    c->_kept = [[NSMutableArray alloc] init];
    for (NSUInteger i = 0; i < MSL_MAX_BUFFERS; i++)
        if (_bound[i] != nil)
            [c->_kept addObject:_bound[i]];
    AssaySoftFunction *f = _pipeline->_function;
    c->_dispatch.library = f->_owner->_library;
    c->_dispatch.kernel = f->_kernel;
    memcpy(c->_dispatch.constants, f->_constants, sizeof f->_constants);
    memcpy(c->_dispatch.constant_set, f->_set, sizeof f->_set);
    for (int i = 0; i < 3; i++) {
        c->_dispatch.threads[i] = (uint32_t)sizes[i];
        c->_dispatch.group[i] = (uint32_t)sizes[3 + i];
    }
    [_buffer->_commands addObject:c];
    [c release];
}
- (void)dispatchThreadgroups:(MTLSize)n threadsPerThreadgroup:(MTLSize)t {
    [self encodeThreads:MTLSizeMake(n.width * t.width, n.height * t.height, n.depth * t.depth)
                  group:t];
}
- (void)dispatchThreads:(MTLSize)grid threadsPerThreadgroup:(MTLSize)t {
    [self encodeThreads:grid group:t];
}
- (void)endEncoding {
    if (![self open:"endEncoding" index:0])
        return;
    _ended = YES;
    _buffer->_encoding = NO;
}
- (void)dealloc {
    for (NSUInteger i = 0; i < MSL_MAX_BUFFERS; i++)
        [_bound[i] release];
    [_pipeline release];
    [_buffer release];
    [super dealloc];
}
@end
