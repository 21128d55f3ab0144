/* A host program as it would be on a Mac: every part of the API that the software device has, its
 * errors included. Prints what failed; exit status 0 if nothing did. */
#import <Metal/Metal.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failures;

static void expect(bool ok, const char *what) {
    if (!ok) {
        printf("host.m: %s\n", what);
        failures++;
    }
}

static NSString *const source =
    @"#include <metal_stdlib>\n"
     "using namespace metal;\n"
     "constant bool TWICE [[function_constant(0)]];\n"
     "constant float PLUS [[function_constant(5)]];\n"
     "kernel void scale(device const float *x [[buffer(0)]], device float *y [[buffer(1)]],\n"
     "                  constant float &by [[buffer(2)]], uint i [[thread_position_in_grid]]) {\n"
     "    y[i] = x[i] * by * (TWICE ? 2.0f : 1.0f) + PLUS;\n"
     "}\n"
     "kernel void sum(device const float *x [[buffer(0)]], device float *y [[buffer(1)]],\n"
     "                threadgroup float *t [[threadgroup(0)]],\n"
     "                uint i [[thread_index_in_threadgroup]]) {\n"
     "    t[i] = x[i];\n"
     "    threadgroup_barrier(mem_flags::mem_threadgroup);\n"
     "    if (i == 0) {\n"
     "        float s = 0;\n"
     "        for (uint k = 0; k < 64; k++) s += t[k];\n"
     "        y[0] = s;\n"
     "    }\n"
     "}\n"
     "kernel void stuck(uint i [[thread_index_in_threadgroup]]) {\n"
     "    if (i == 3) return;\n"
     "    threadgroup_barrier(mem_flags::mem_none);\n"
     "}\n";

static id<MTLComputePipelineState> pipeline(id<MTLDevice> device, id<MTLLibrary> library,
                                            NSString *name) {
    MTLFunctionConstantValues *values = [[MTLFunctionConstantValues alloc] init];
    BOOL twice = YES;
    float plus = 1;
    NSError *error = nil;
    [values setConstantValue:&twice type:MTLDataTypeBool atIndex:0];
    [values setConstantValue:&plus type:MTLDataTypeFloat atIndex:5];
    id<MTLFunction> f = [library newFunctionWithName:name constantValues:values error:&error];
    expect(f != nil && [f.name isEqualToString:name], "function with constants");
    id<MTLComputePipelineState> p = [device newComputePipelineStateWithFunction:f error:&error];
    expect(p != nil && p.threadExecutionWidth == 32 && p.maxTotalThreadsPerThreadgroup == 1024,
           "pipeline");
    [f release];
    [values release];
    return p;
}

static void test_errors(id<MTLDevice> device, id<MTLLibrary> library, id<MTLCommandQueue> queue) {
    NSError *error = nil;
    id<MTLLibrary> bad = [device newLibraryWithSource:@"kernel void f() {\n    oops;\n}\n"
                                              options:nil
                                                error:&error];
    expect(bad == nil && error != nil, "a faulty source is an error");
    expect([[error localizedDescription] rangeOfString:@"program_source:2"].length > 0,
           "the error names the line");
    expect([library newFunctionWithName:@"nothing"] == nil, "an unknown function is nil");
    error = nil;
    id<MTLFunction> f = [library newFunctionWithName:@"scale"];
    expect([device newComputePipelineStateWithFunction:f error:&error] == nil && error != nil,
           "a pipeline without its function constants is an error");
    [f release];

    id<MTLComputePipelineState> p = pipeline(device, library, @"stuck");
    id<MTLCommandBuffer> c = [queue commandBuffer];
    id<MTLComputeCommandEncoder> e = [c computeCommandEncoder];
    [e setComputePipelineState:p];
    [e dispatchThreadgroups:MTLSizeMake(1, 1, 1) threadsPerThreadgroup:MTLSizeMake(8, 1, 1)];
    [e endEncoding];
    [c commit];
    [c waitUntilCompleted];
    expect(c.status == MTLCommandBufferStatusError && c.error != nil, "divergence is an error");
    [p release];

    c = [queue commandBuffer];
    e = [c computeCommandEncoder];
    [e dispatchThreads:MTLSizeMake(1, 1, 1) threadsPerThreadgroup:MTLSizeMake(1, 1, 1)];
    [c commit];
    [c waitUntilCompleted];
    expect(c.status == MTLCommandBufferStatusError &&
               [[c.error localizedDescription] rangeOfString:@"without a pipeline"].length > 0,
           "the first misuse is told");

    char *memory = NULL;
    size_t page = (size_t)getpagesize();
    if (posix_memalign((void **)&memory, page, 2 * page) == 0) {
        expect([device newBufferWithBytesNoCopy:memory + 16
                                         length:page
                                        options:MTLResourceStorageModeShared
                                    deallocator:nil] == nil,
               "a buffer off the page");
        id<MTLBuffer> b = [device newBufferWithBytesNoCopy:memory
                                                    length:2 * page
                                                   options:MTLResourceStorageModeShared
                                               deallocator:nil];
        expect(b != nil && [b contents] == memory, "a buffer without a copy");
        [b release];
        free(memory);
    }
}

int main(void) {
    NSAutoreleasePool *pool = [[NSAutoreleasePool alloc] init];
    id<MTLDevice> device = MTLCreateSystemDefaultDevice();
    expect(device != nil, "no device");
    NSUInteger before = device.currentAllocatedSize;
    NSError *error = nil;
    MTLCompileOptions *options = [[MTLCompileOptions alloc] init];
    options.fastMathEnabled = NO;
    id<MTLLibrary> library = [device newLibraryWithSource:source options:options error:&error];
    [options release];
    if (library == nil) {
        printf("host.m: %s\n", [[error localizedDescription] UTF8String]);
        return 1;
    }
    id<MTLCommandQueue> queue = [device newCommandQueue];
    id<MTLBuffer> x = [device newBufferWithLength:400 options:MTLResourceStorageModeShared];
    id<MTLBuffer> y = [device newBufferWithLength:400 options:MTLResourceStorageModeShared];
    expect(device.currentAllocatedSize == before + 800, "allocated size");
    for (int i = 0; i < 100; i++)
        ((float *)[x contents])[i] = (float)i;
    id<MTLComputePipelineState> scale = pipeline(device, library, @"scale");
    id<MTLComputePipelineState> sum = pipeline(device, library, @"sum");
    id<MTLCommandBuffer> c = [queue commandBuffer];
    id<MTLComputeCommandEncoder> e = [c computeCommandEncoder];
    float by = 3;
    [e setComputePipelineState:scale];
    [e setBuffer:x offset:0 atIndex:0];
    [e setBuffer:y offset:0 atIndex:1];
    [e setBytes:&by length:sizeof by atIndex:2];
    by = 0;
    [e dispatchThreads:MTLSizeMake(99, 1, 1) threadsPerThreadgroup:MTLSizeMake(64, 1, 1)];
    [e setComputePipelineState:sum];
    [e setBuffer:y offset:396 atIndex:1];
    [e setBuffer:y offset:0 atIndex:0];
    [e setThreadgroupMemoryLength:256 atIndex:0];
    [e dispatchThreadgroups:MTLSizeMake(1, 1, 1) threadsPerThreadgroup:MTLSizeMake(64, 1, 1)];
    [e endEncoding];
    [c commit];
    expect(((float *)[y contents])[98] == 0, "nothing runs before the wait");
    [c waitUntilCompleted];
    if (c.error != nil)
        printf("host.m: %s\n", [[c.error localizedDescription] UTF8String]);
    expect(c.status == MTLCommandBufferStatusCompleted, "completed");
    expect(((float *)[y contents])[98] == 98 * 6 + 1, "the first dispatch's result");
    expect(((float *)[y contents])[99] == 2016 * 6 + 64, "the second dispatch's result");
    expect(c.GPUEndTime > c.GPUStartTime && c.GPUStartTime > 0, "time stamps");
    test_errors(device, library, queue);
    [scale release];
    [sum release];
    [x release];
    [y release];
    [queue release];
    [library release];
    [pool release];
    expect(device.currentAllocatedSize == before, "all buffers were freed");
    [device release];
    return failures != 0;
}
