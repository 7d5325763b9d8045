/*
** Runs a network on a picture, without Python: prints its label, and how long it takes.
**
**     cc -std=c11 -O2 classify.c $(pkg-config --cflags --libs larqlite) -o classify
**     ./classify model.lqflat picture.pgm
**
** The network is a flat file (`lq export MODEL model.lqflat --to flat`), the picture a binary PGM
** (grey) or PPM (colours) of the size that the network takes. Pixels go in as they are, from 0 to
** 255: a network that wants others has a Rescaling layer.
*/
#include <larqlite.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double milliseconds(void) {
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

/* Reads the pixels of a picture of just this size; 0 if it is none. */
static int read_picture(const char *path, const lq_tensor *input, float *pixels) {
  int channels = 0, width = 0, height = 0;
  FILE *file = fopen(path, "rb");
  if (file == NULL) return 0;
  if (fscanf(file, "P%d %d %d 255", &channels, &width, &height) != 3) channels = 0;
  channels = channels == 5 ? 1 : channels == 6 ? 3 : 0;
  fgetc(file); /* one white space ends the head */
  int is_right = input->axes == 4 && height == input->shape[1] && width == input->shape[2] &&
                 channels == input->shape[3];
  for (int64_t i = 0; is_right && i < input->image_values; ++i) {
    int pixel = fgetc(file);
    if (pixel == EOF) is_right = 0;
    pixels[i] = (float)pixel;
  }
  fclose(file);
  if (!is_right && input->axes == 4)
    fprintf(stderr, "%s: no PGM or PPM of %lld x %lld pixels and %lld channels\n", path,
            (long long)input->shape[2], (long long)input->shape[1], (long long)input->shape[3]);
  return is_right;
}

/* Runs the loaded model on a picture. */
static int classify(lq_model *model, const char *picture) {
  lq_tensor input, output;
  if (lq_input(model, 0, &input) != LQ_OK || lq_output(model, 0, &output) != LQ_OK) return 0;
  if (lq_input_count(model) != 1 || input.type != LQ_FLOAT32 || output.type != LQ_FLOAT32) {
    fprintf(stderr, "the network takes something else than one picture of floats\n");
    return 0;
  }
  float *pixels = malloc((size_t)input.image_bytes);
  float *scores = malloc((size_t)output.image_bytes);
  int done = 0;
  if (pixels != NULL && scores != NULL && read_picture(picture, &input, pixels)) {
    const void *inputs[] = {pixels};
    void *outputs[] = {scores};
    /* The first call makes memory; from then on all take the same time. */
    int code = lq_reserve(model, 1);
    double begin = milliseconds();
    if (code == LQ_OK) code = lq_run_model(model, 1, inputs, outputs);
    double took = milliseconds() - begin;
    if (code == LQ_OK) {
      int64_t best = 0;
      for (int64_t i = 1; i < output.image_values; ++i)
        if (scores[i] > scores[best]) best = i;
      printf("label %lld, score %.6f, %.3f ms on %s\n", (long long)best, (double)scores[best],
             took, lq_isa(model));
      done = 1;
    } else {
      fprintf(stderr, "classify: %s\n", lq_error(model));
    }
  }
  free(pixels);
  free(scores);
  return done;
}

int main(int count, char **words) {
  if (count != 3) {
    fprintf(stderr, "usage: classify MODEL.lqflat PICTURE.pgm\n");
    return 2;
  }
  lq_model *model;
  int done = 0;
  if (lq_load_file(words[1], &model) != LQ_OK)
    fprintf(stderr, "classify: %s\n", lq_error(model));
  else
    done = classify(model, words[2]);
  lq_free(model);
  return done ? 0 : 1;
}
