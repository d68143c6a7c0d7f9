// The dense operations of exact mode. It must not know anything but dense.cuh: this is where they are instantiated.
#include "cuda/dense.cuh"

namespace fastreg::cuda {

template <class T>
void dense_forward(Cancel&, const DenseForward<T>& a) {
    dense_forward_by<ExactMode>(a);
}
template <class T>
void dense_backward_x(Cancel&, const DenseBackwardX<T>& a) {
    dense_backward_x_by<ExactMode>(a);
}
template <class T>
void dense_backward_w(Cancel&, const DenseBackwardW<T>* layers, int64_t n_layers) {
    dense_backward_w_by<ExactMode>(layers, n_layers);
}

template void dense_forward<float>(Cancel&, const DenseForward<float>&);
template void dense_forward<double>(Cancel&, const DenseForward<double>&);
template void dense_backward_x<float>(Cancel&, const DenseBackwardX<float>&);
template void dense_backward_x<double>(Cancel&, const DenseBackwardX<double>&);
template void dense_backward_w<float>(Cancel&, const DenseBackwardW<float>*, int64_t);
template void dense_backward_w<double>(Cancel&, const DenseBackwardW<double>*, int64_t);

}  // namespace fastreg::cuda
