/* Trains sessions and prints how often memory was asked for: while each was made, and in later epochs.
 * It must not know the library beyond fastreg.h: what takes memory is counted here, in the program, whose malloc and
 * its like stand before the C library's (glibc). */
#include <errno.h>
#include <fastreg/fastreg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t n, size_t size);
void* __libc_realloc(void* p, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

static long asked = 0; /* one thread computes */

void* malloc(size_t size) {
    ++asked;
    return __libc_malloc(size);
}

void* calloc(size_t n, size_t size) {
    ++asked;
    return __libc_calloc(n, size);
}

void* realloc(void* p, size_t size) {
    ++asked;
    return __libc_realloc(p, size);
}

void* memalign(size_t alignment, size_t size) {
    ++asked;
    return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
    ++asked;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void** p, size_t alignment, size_t size) {
    ++asked;
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : ENOMEM;
}

enum { ROWS = 300, INPUTS = 40, CLASSES = 3, WARM = 3, EPOCHS = 4 };

static void check(fr_status status) {
    if (status == FR_OK) return;
    fprintf(stderr, "%s\n", fr_last_error());
    exit(1);
}

/* A penalty, a constraint, dropout and class indices; the last batch of an epoch is a short one. */
static void train(const char* name, int64_t units, int64_t batch_size, const float* x, const float* y, int planted) {
    fr_layer layers[] = {FR_LAYER_INIT(FR_DENSE), FR_LAYER_INIT(FR_DROPOUT), FR_LAYER_INIT(FR_DENSE),
                         FR_LAYER_INIT(FR_DENSE)};
    fr_loss loss = FR_LOSS_INIT(FR_SPARSE_CATEGORICAL_CROSSENTROPY);
    fr_optimizer adam = FR_OPTIMIZER_INIT(FR_ADAM, 1e-3);
    fr_totals totals = FR_TOTALS_INIT;
    fr_session* session = NULL;
    long before = asked, made;
    uint64_t first, last, epoch;
    int i;

    layers[0].units = layers[2].units = units;
    layers[0].activation = layers[2].activation = FR_RELU;
    layers[0].kernel_penalty.l1 = layers[2].kernel_penalty.l2 = 1e-4;
    layers[2].kernel_constraint.kind = FR_MAX_NORM;
    layers[2].kernel_constraint.value = 2.0;
    layers[1].rate = 0.3;
    layers[3].units = CLASSES;
    layers[3].activation = FR_SOFTMAX;
    adam.global_clipnorm = 1.0;

    check(fr_session_create(layers, 4, INPUTS, FR_F32, 1, &session));
    check(fr_session_compile(session, &loss, &adam));
    for (i = 0; i < WARM; ++i) check(fr_session_train_epoch_f32(session, x, y, NULL, ROWS, batch_size, 1, &totals));
    made = asked - before;
    check(fr_session_get_position(session, &first, &epoch));
    before = asked;
    for (i = 0; i < EPOCHS; ++i) {
        check(fr_session_train_epoch_f32(session, x, y, NULL, ROWS, batch_size, 1, &totals));
        if (planted) free(malloc(1));
    }
    before = asked - before;
    check(fr_session_get_position(session, &last, &epoch));
    printf("%s: %ld until epoch %d, %ld in the next %d steps\n", name, made, WARM, before, (int)(last - first));
    fr_session_destroy(session);
}

int main(int argc, char** argv) {
    const int planted = argc > 1 && strcmp(argv[1], "planted") == 0;
    static float x[ROWS * INPUTS], y[ROWS];
    int i;
    check(fr_set_num_threads(1));
    check(fr_initialize_f32(FR_NORMAL, 0, 1, 1, 0, ROWS * INPUTS, x));
    for (i = 0; i < ROWS; ++i) y[i] = (float)(i % CLASSES);
    train("small", 16, 32, x, y, planted);
    train("large", 512, 128, x, y, planted);
    return 0;
}
