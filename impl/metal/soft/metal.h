/* What the Objective-C classes of the software device know of each other. */
#ifndef ASSAY_IMPL_METAL_SOFT_INTERNAL_H
#define ASSAY_IMPL_METAL_SOFT_INTERNAL_H

#import "Metal/Metal.h"

#include "soft.h"

@interface AssaySoftDevice : NSObject <MTLDevice> {
  @public
    NSUInteger _allocated;
}
- (void)changeAllocated:(NSUInteger)bytes grow:(BOOL)grow;
@end

@interface AssaySoftBuffer : NSObject <MTLBuffer> {
  @public
    AssaySoftDevice *_device;
    void *_base;
    NSUInteger _length;
    BOOL _owned;
    void (^_deallocator)(void *, NSUInteger);
}
@end

@interface AssaySoftLibrary : NSObject <MTLLibrary> {
  @public
    AssaySoftDevice *_device;
    struct assay_soft_library *_library;
}
@end

@interface AssaySoftFunction : NSObject <MTLFunction> {
  @public
    AssaySoftLibrary *_owner;
    const struct msl_kernel *_kernel;
    uint64_t _constants[MSL_MAX_CONSTANTS];
    bool _set[MSL_MAX_CONSTANTS];
}
@end

@interface AssaySoftPipeline : NSObject <MTLComputePipelineState> {
  @public
    AssaySoftFunction *_function;
}
@end

/* One dispatch as encoded, and what it keeps alive. */
@interface AssaySoftCommand : NSObject {
  @public
    struct assay_soft_dispatch _dispatch;
    AssaySoftPipeline *_pipeline;
    NSMutableArray *_kept;
}
@end

@interface AssaySoftQueue : NSObject <MTLCommandQueue> {
  @public
    AssaySoftDevice *_device;
    NSMutableArray *_committed; /* command buffers that have not run, in order */
}
@end

@interface AssaySoftCommandBuffer : NSObject <MTLCommandBuffer> {
  @public
    AssaySoftQueue *_queue;
    NSMutableArray *_commands;
    MTLCommandBufferStatus _status;
    NSError *_error;
    NSString *_misuse; /* the first call that Metal does not allow */
    CFTimeInterval _start, _end;
    BOOL _encoding;
}
- (void)misuse:(NSString *)what;
- (void)run;
@end

@interface AssaySoftEncoder : NSObject <MTLComputeCommandEncoder> {
  @public
    AssaySoftCommandBuffer *_buffer;
    AssaySoftPipeline *_pipeline;
    struct assay_soft_dispatch _dispatch; /* what is bound so far */
    NSObject *_bound[MSL_MAX_BUFFERS];    /* AssaySoftBuffer, or NSData for setBytes */
    BOOL _ended;
}
@end

NSError *assay_soft_error(NSString *domain, NSInteger code, const char *message);

#endif
