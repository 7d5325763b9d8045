/*
** larqlite.h: runs networks of bits from C and C++, without Python.
**
** A network is a flat file, which `lq export MODEL --to flat` or `lq.deploy.to_flat` writes:
**
**     lq_model *model;
**     float image[32 * 32 * 3], scores[10];
**     const void *inputs[] = {image};
**     void *outputs[] = {scores};
**
**     if (lq_load_file("model.lqflat", &model) != LQ_OK ||
**         lq_run_model(model, 1, inputs, outputs) != LQ_OK)
**       fprintf(stderr, "%s\n", lq_error(model));
**     lq_free(model);
**
** Every function that can fail returns one of the codes below, LQ_OK (0) if all went well, and
** leaves a text for people in the model, which lq_error() gives. But for that text, a model is after
** an error what it was before the call: memory that it had for a batch it still has. Where a model
** is asked for, a null pointer is LQ_MISUSE, or nothing: "", 0.
**
** Threads. There is no global state that a caller could see. Different models may be used by
** different threads at the same time. One model is for one thread at a time; where several threads
** run the same network, each has a model of its own from lq_copy(), which shares the weights.
**
** Results. Sums of bits, and everything that follows from them in whole numbers, are the same on
** every processor and instruction set, bit for bit. Sums of floats may differ between instruction
** sets in their last places, and are the same for the same set.
*/
#ifndef LARQLITE_H
#define LARQLITE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define LQ_API
#elif defined(__GNUC__)
#define LQ_API __attribute__((visibility("default")))
#else
#define LQ_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A network and the memory that it runs in. Made by the lq_load_ functions and by lq_copy(), ended
** by lq_free(). */
typedef struct lq_model lq_model;

/* What functions return. */
enum {
  LQ_OK = 0,
  LQ_MISUSE = 1,      /* an argument makes no sense; nothing was done */
  LQ_NO_FILE = 2,     /* the file is not there, or cannot be read */
  LQ_DAMAGED = 3,     /* these bytes are no flat file, or not the ones that were written */
  LQ_TOO_NEW = 4,     /* the file was written for a later version of this library */
  LQ_NO_MEMORY = 5,   /* there is not enough */
  LQ_TOO_LARGE = 6,   /* it asks for more than lq_set_limits() allows */
  LQ_NO_ISA = 7       /* this processor, or this library, has no such instruction set */
};

/* Types of the values of a tensor; numbers as in ONNX. */
enum {
  LQ_FLOAT32 = 1,
  LQ_UINT8 = 2,
  LQ_INT8 = 3,
  LQ_UINT16 = 4,
  LQ_INT16 = 5,
  LQ_INT32 = 6,
  LQ_INT64 = 7,
  LQ_BOOL = 9, /* a byte, 0 or 1 */
  LQ_UINT32 = 12
};

#define LQ_MOST_AXES 8

/* An input or an output. Values lie one behind another, the last axis innermost. */
typedef struct lq_tensor {
  const char *name;            /* lives as long as the model */
  int32_t type;                /* LQ_FLOAT32 and its like */
  int32_t axes;                /* how many sizes `shape` has */
  int64_t shape[LQ_MOST_AXES]; /* -1 stands for the images of a call; it is the first, if any */
  int64_t image_values;        /* of one image: the product of the other sizes */
  int64_t image_bytes;         /* the same in bytes */
} lq_tensor;

/* The version of this library, such as "0.1.0". Never null. */
LQ_API const char *lq_version(void);

/* The latest version of flat files that this library reads. It reads all earlier ones. */
LQ_API int32_t lq_flat_version(void);

/* Reads a flat file and checks all of it: its checksum, and every address that it leads to. That
** takes time and memory that grow with the length of the file, whatever is in it.
**
** *model is set in any case, also after an error, so that lq_error(*model) can say what is wrong;
** it is null only if there was no memory for it. Free it with lq_free() in any case.
**
** LQ_OK; LQ_NO_FILE, LQ_DAMAGED, LQ_TOO_NEW, LQ_NO_MEMORY; LQ_MISUSE: a null pointer (if `model`
** is one, nothing can be told). A model that could not be loaded answers LQ_MISUSE to everything
** but lq_error() and lq_free(). */
LQ_API int lq_load_file(const char *path, lq_model **model);

/* The same of a file in memory, which is copied. `bytes` may be freed after the call. */
LQ_API int lq_load_memory(const void *bytes, size_t size, lq_model **model);

/* The same without a copy, for files in flash or mapped into memory: `bytes` must stay as they are
** until the model and all copies of it are freed. Nothing is written to them. They must begin at a
** multiple of 4 bytes (of 64, where speed matters); else LQ_MISUSE. */
LQ_API int lq_load_static(const void *bytes, size_t size, lq_model **model);

/* Another model of the same network, for another thread: the weights are held once, memory for
** runs is its own. Instruction set, threads and limits are those of `model`. `model` may not be in
** use by another thread during the call.
**
** LQ_OK, LQ_NO_MEMORY, LQ_MISUSE; *copy as for lq_load_file(). */
LQ_API int lq_copy(const lq_model *model, lq_model **copy);

/* Ends a model. Null is passed over. */
LQ_API void lq_free(lq_model *model);

/* What went wrong in the last call that returned something else than LQ_OK; "" if none has. The
** text is good until the next call with this model. For null: that there was no memory. */
LQ_API const char *lq_error(const lq_model *model);

/* How many inputs and outputs there are; 0 for a model that could not be loaded. */
LQ_API int32_t lq_input_count(const lq_model *model);
LQ_API int32_t lq_output_count(const lq_model *model);

/* Fills *tensor with what is known of an input or an output, counted from 0. The order is that of
** the model that was exported.
**
** LQ_OK; LQ_MISUSE: a null pointer, or there is no such one. */
LQ_API int lq_input(lq_model *model, int32_t index, lq_tensor *tensor);
LQ_API int lq_output(lq_model *model, int32_t index, lq_tensor *tensor);

/* Computes `batch` images. inputs[i] holds `batch` images of input i, one behind another, and
** outputs[i] has room for as many of output i. (An output without -1 in its shape is written once.)
** They must lie at multiples of the size of their values, and outputs must not overlap anything.
**
** A call with another `batch` than the one before makes the memory that it needs, and checks every
** step against it; see lq_reserve().
**
** LQ_OK; LQ_NO_MEMORY, LQ_TOO_LARGE, LQ_DAMAGED as of lq_reserve(); LQ_NO_ISA: the instruction set
** is gone, as on another processor that the process was moved to; LQ_MISUSE: a null pointer, one
** that is not a multiple, or `batch` < 1. */
LQ_API int lq_run_model(lq_model *model, int32_t batch, const void *const *inputs,
                        void *const *outputs);

/* Makes the memory that `batch` images need, and checks every step against it, so that
** lq_run_model() of so many images has nothing of that left to do. After the largest batch all
** smaller ones find theirs: it only grows, until threads or limits are set, or where a limit leaves no
** room. While it does, what was there before is held too, so that an error loses nothing.
**
** Kernels have some room of their own on each thread besides, from 30 kB to what the largest layer's
** weights are as bytes; they make it in their first run, and a process that cannot have it ends.
**
** LQ_OK, LQ_NO_MEMORY, LQ_TOO_LARGE; LQ_DAMAGED: a step does not fit its memory for so many images;
** LQ_MISUSE: `batch` < 1. */
LQ_API int lq_reserve(lq_model *model, int32_t batch);

/* How many threads may share the work of a call, the calling one among them. 1 after loading: the
** helpers of one process are shared by all models, and made when they are first wanted. A call that
** finds them busy, or that would not be faster with them, does without.
**
** LQ_OK; LQ_MISUSE: not from 1 to 1024. */
LQ_API int lq_set_threads(lq_model *model, int32_t threads);

/* Which instruction set the kernels use: "portable", "avx2", "avx512", "amx", "neon" or "simd128"
** (WebAssembly); null for the fastest that this processor has, as after loading.
**
** LQ_OK; LQ_NO_ISA: it is not there; LQ_MISUSE: there is none of this name. */
LQ_API int lq_set_isa(lq_model *model, const char *name);

/* The instruction set in use. Never null; "" for a model that could not be loaded. */
LQ_API const char *lq_isa(const lq_model *model);

/* How much a network may ask for, for files of people who are not trusted. `bytes`: of memory for
** runs, beside the file itself; 2^31 after loading (2^30 where addresses have 32 bits); up to twice
** as many for the moment in which it grows. `seconds`: that an image may take on one thread, as it is
** estimated from its sizes; 600 after loading. What needs more is refused by lq_reserve() and
** lq_run_model() with LQ_TOO_LARGE. (Loading comes before any limit, and takes what the length of the
** file says.)
**
** LQ_OK; LQ_MISUSE: not above 0. */
LQ_API int lq_set_limits(lq_model *model, int64_t bytes, double seconds);

/* Bytes of memory that the model has made for runs so far, beside the file. */
LQ_API int64_t lq_memory(const lq_model *model);

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif
