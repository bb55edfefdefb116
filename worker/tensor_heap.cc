// SPDX-License-Identifier: Apache-2.0

// Read by jemalloc, which this is linked with, before main. A training step frees and asks again for the same gigabyte
// or two of tensors: memory that was given back to the kernel costs a fault a page (docs/decisions/0026). So freed
// pages are kept, huge ones are asked for, and all sizes share one pool: with a pool of its own for what is 8 MiB or
// more, as is the default, ResNet-50 took 4 % more memory. MALLOC_CONF in the environment still has the last word.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always,metadata_thp:auto,oversize_threshold:0";
}
