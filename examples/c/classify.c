/*
** Runs a network on a picture, without Python: prints its label, and how long it takes.
**
**     cc -std=c11 -O2 classify.c $(pkg-config --cflags --libs larqlite) -o classify
**     ./classify model.lqflat picture.pgm
**
** The network is a flat file (`lq export MODEL model.lqflat --to flat`) that takes one picture, as
** floats or (`--pixels`) as bytes, and gives scores. The picture is a binary PGM (grey) or PPM
** (colours) of its size. Pixels go in as they are, from 0 to 255: a network that wants others has a
** Rescaling layer. Returns 0, 1 where something went wrong, 2 where words are missing.
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

/* The next number of the head of a picture, behind white space and comments; -1: there is none. */
static int next_number(FILE *file) {
  int number = -1;
  char sign[2]; /* of a comment, which goes on to the end of its line */
  while (fscanf(file, " %1[#]%*[^\n]", sign) == 1) {
  }
  return fscanf(file, "%9d", &number) == 1 ? number : -1;
}

/* Reads a picture of just the size that the network takes; 0, and says why, if it is none. */
static int read_picture(const char *path, const lq_tensor *input, unsigned char *pixels) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 0;
  }
  size_t count = (size_t)input->image_values;
  int kind = fgetc(file) == 'P' ? fgetc(file) : 0;
  int channels = kind == '5' ? 1 : kind == '6' ? 3 : 0;
  int width = next_number(file), height = next_number(file), most = next_number(file);
  fgetc(file); /* one white space ends the head */
  int is_right = channels == input->shape[3] && width == input->shape[2] &&
                 height == input->shape[1] && most == 255 &&
                 fread(pixels, 1, count, file) == count;
  fclose(file);
  if (!is_right)
    fprintf(stderr,
            "%s: no whole binary %s of %lld x %lld pixels from 0 to 255\n"
            "  Fix: scale the picture to that size, and write it as such a file\n",
            path, input->shape[3] == 1 ? "PGM (P5)" : "PPM (P6)", (long long)input->shape[2],
            (long long)input->shape[1]);
  return is_right;
}

/* Whether this program can serve a network; says why, if not. */
static int takes_a_picture(lq_model *model, const lq_tensor *input, const lq_tensor *output) {
  int is_right = lq_input_count(model) == 1 && lq_output_count(model) == 1 && input->axes == 4 &&
                 (input->shape[3] == 1 || input->shape[3] == 3) &&
                 (input->type == LQ_FLOAT32 || input->type == LQ_UINT8) &&
                 output->type == LQ_FLOAT32;
  if (!is_right)
    fprintf(stderr,
            "classify: the network does not take one picture and give one row of floats: it has "
            "%d inputs and %d outputs,\n  \"%s\" of %d axes and type %d, \"%s\" of type %d\n"
            "  Fix: a program of your own, with memory for each of them; larqlite.h has the types\n",
            (int)lq_input_count(model), (int)lq_output_count(model), input->name,
            (int)input->axes, (int)input->type, output->name, (int)output->type);
  return is_right;
}

/* Runs the loaded model on a picture; 0, and says why, if that fails. */
static int classify(lq_model *model, const char *picture) {
  lq_tensor input, output;
  if (lq_input(model, 0, &input) != LQ_OK || lq_output(model, 0, &output) != LQ_OK ||
      !takes_a_picture(model, &input, &output))
    return 0;
  size_t count = (size_t)input.image_values;
  unsigned char *pixels = malloc(count);
  float *values = malloc(count * sizeof *values);
  float *scores = malloc((size_t)output.image_bytes);
  int done = 0;
  if (pixels == NULL || values == NULL || scores == NULL) {
    fprintf(stderr, "classify: there is not enough memory\n");
  } else if (read_picture(picture, &input, pixels)) {
    for (size_t i = 0; i < count; ++i) values[i] = pixels[i];
    const void *inputs[] = {input.type == LQ_UINT8 ? (const void *)pixels : values};
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
  free(values);
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
