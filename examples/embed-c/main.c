/* Trains an elastic-net network on a CSV file in plain C99, then moves its weights to a second session, which predicts
 * the same bits.
 *
 *   embed_c data.csv        numbers only; the last column is the target
 *
 * Without CMake: cc -std=c99 main.c $(python -m fastreg --includes --libs) -lm
 */
#include <fastreg/fastreg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(call)                                            \
    do {                                                       \
        if ((call) != FR_OK) {                                 \
            fprintf(stderr, "%s: %s\n", #call, fr_last_error()); \
            exit(1);                                           \
        }                                                      \
    } while (0)

typedef struct {
    float* x; /* rows x inputs */
    float* y;
    int64_t rows, inputs;
} data_set;

static void* grown(void* memory, size_t bytes) {
    void* larger = realloc(memory, bytes);
    if (!larger) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return larger;
}

static data_set read_csv(const char* path) {
    data_set d = {NULL, NULL, 0, -1};
    char line[1 << 14];
    FILE* file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, file)) {
        float numbers[512];
        int64_t n = 0;
        char* at = line;
        for (char* end = NULL; n < 512; at = end + (*end == ',')) {
            const float number = strtof(at, &end);
            if (end == at) break;
            numbers[n++] = number;
        }
        if (n == 0 && (*at == '\n' || *at == '\0')) continue;
        if (d.inputs < 0) d.inputs = n - 1;
        if (n < 2 || n != d.inputs + 1 || (*at != '\n' && *at != '\r' && *at != '\0')) {
            fprintf(stderr, "%s: row %lld is not %lld numbers\n", path, (long long)d.rows + 1,
                    (long long)d.inputs + 1);
            exit(1);
        }
        d.x = grown(d.x, (size_t)((d.rows + 1) * d.inputs) * sizeof *d.x);
        d.y = grown(d.y, (size_t)(d.rows + 1) * sizeof *d.y);
        memcpy(d.x + d.rows * d.inputs, numbers, (size_t)d.inputs * sizeof *d.x);
        d.y[d.rows++] = numbers[n - 1];
    }
    fclose(file);
    if (d.rows < 2) {
        fprintf(stderr, "%s has fewer than 2 rows\n", path);
        exit(1);
    }
    return d;
}

/* Column j of a (rows, cols) matrix to mean 0 and deviation 1. */
static void standardize(float* x, int64_t rows, int64_t cols) {
    for (int64_t j = 0; j < cols; ++j) {
        double mean = 0.0, square = 0.0;
        for (int64_t i = 0; i < rows; ++i) mean += x[i * cols + j];
        mean /= (double)rows;
        for (int64_t i = 0; i < rows; ++i) {
            const double off = x[i * cols + j] - mean;
            square += off * off;
        }
        const double deviation = sqrt(square / (double)rows);
        for (int64_t i = 0; i < rows; ++i)
            x[i * cols + j] = (float)((x[i * cols + j] - mean) / (deviation > 0.0 ? deviation : 1.0));
    }
}

static fr_session* new_session(int64_t inputs, uint64_t seed) {
    fr_layer layers[3] = {FR_LAYER_INIT(FR_DENSE), FR_LAYER_INIT(FR_DROPOUT), FR_LAYER_INIT(FR_DENSE)};
    const fr_penalty elastic_net = {1e-2, 1e-3, 0};
    fr_session* session = NULL;
    layers[0].units = 32;
    layers[0].activation = FR_RELU;
    layers[0].kernel_penalty = elastic_net;
    layers[1].rate = 0.2;
    layers[2].units = 1;
    layers[2].kernel_penalty = elastic_net;
    CHECK(fr_session_create(layers, 3, inputs, FR_F32, seed, &session));
    return session;
}

int main(int argc, char** argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s data.csv\n", argv[0]);
        return 2;
    }
    if (fr_abi_version() != FR_ABI_VERSION) {
        fprintf(stderr, "the library has ABI %d, the header %d\n", fr_abi_version(), FR_ABI_VERSION);
        return 1;
    }
    printf("%s\n", fr_build_info());
    data_set d = read_csv(argv[1]);
    standardize(d.x, d.rows, d.inputs);
    standardize(d.y, d.rows, 1);

    fr_session* session = new_session(d.inputs, 42);
    const fr_loss loss = FR_LOSS_INIT(FR_MEAN_SQUARED_ERROR);
    const fr_optimizer adam = FR_OPTIMIZER_INIT(FR_ADAM, 1e-2);
    CHECK(fr_session_compile(session, &loss, &adam));
    for (int epoch = 1; epoch <= 100; ++epoch) {
        fr_totals totals = FR_TOTALS_INIT;
        CHECK(fr_session_train_epoch_f32(session, d.x, d.y, NULL, d.rows, 32, 1, &totals));
        if (epoch == 1 || epoch % 25 == 0)
            printf("epoch %d: loss %.6f (data %.6f, penalty %.6f)\n", epoch, totals.loss, totals.data_loss,
                   totals.penalty);
    }

    /* Weights out, and into a session that has never seen the data. */
    fr_session* other = new_session(d.inputs, 7);
    int64_t n_parameters = 0, kernel_zeros = 0, kernel_size = 0;
    CHECK(fr_session_n_parameters(session, &n_parameters));
    for (int64_t p = 0; p < n_parameters; ++p) {
        int64_t rows = 0, cols = 0, zeros = 0;
        CHECK(fr_session_parameter_shape(session, p, &rows, &cols));
        float* values = grown(NULL, (size_t)(rows * cols) * sizeof *values);
        CHECK(fr_session_get_f32(session, p, -1, rows * cols, values));
        CHECK(fr_session_set_f32(other, p, -1, rows * cols, values));
        CHECK(fr_session_count_zeros(session, p, &zeros));
        if (p % 2 == 0) {
            kernel_zeros += zeros;
            kernel_size += rows * cols;
        }
        free(values);
    }
    float* ours = grown(NULL, (size_t)d.rows * sizeof *ours);
    float* theirs = grown(NULL, (size_t)d.rows * sizeof *theirs);
    CHECK(fr_session_predict_f32(session, d.x, d.rows, ours));
    CHECK(fr_session_predict_f32(other, d.x, d.rows, theirs));
    const int same = memcmp(ours, theirs, (size_t)d.rows * sizeof *ours) == 0;
    printf("exact zeros: %lld of %lld kernel weights\n", (long long)kernel_zeros, (long long)kernel_size);
    printf("the second session predicts %s\n", same ? "the same bits" : "SOMETHING ELSE");

    free(ours);
    free(theirs);
    free(d.x);
    free(d.y);
    fr_session_destroy(session);
    fr_session_destroy(other);
    return same ? 0 : 1;
}
