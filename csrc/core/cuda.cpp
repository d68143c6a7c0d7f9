// Finding and opening the CUDA plugin. See cuda.h.
// It must not know CUDA: no header of it, no call.
#include "core/cuda.h"

#include <dlfcn.h>

#include <mutex>

namespace fastreg {
namespace {

#if !defined(FASTREG_HAVE_CUDA)

Status open_plugin(const CudaPlugin**) {
    return {Code::runtime, "this build of fastreg has no CUDA plugin (" FASTREG_CUDA_NOTE ")"};
}

#else

constexpr const char* kFile = "libfastreg_cuda.so";

// The folder of this library, with a slash; empty if it cannot be told.
std::string own_folder() {
    Dl_info info;
    if (!dladdr(reinterpret_cast<void*>(&own_folder), &info) || !info.dli_fname) return "";
    const std::string path = info.dli_fname;
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

Status open_plugin(const CudaPlugin** plugin) {
    const std::string path = own_folder() + kFile;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* why = dlerror();
        return {Code::runtime, "the CUDA plugin cannot be opened: " + std::string(why ? why : path)};
    }
    using Entry = const CudaPlugin* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "fr_private_cuda_plugin"));
    const CudaPlugin* found = entry ? entry() : nullptr;
    if (!found || std::string(found->version) != FASTREG_VERSION)
        return {Code::runtime, path + " is not the CUDA plugin of fastreg " FASTREG_VERSION};
    *plugin = found;
    return {};
}

#endif

}  // namespace

Status cuda_plugin(const CudaPlugin** plugin) {
    static std::mutex mutex;
    static const CudaPlugin* found = nullptr;  // once opened it stays
    const std::lock_guard<std::mutex> lock(mutex);
    if (!found) FR_RETURN_IF_ERROR(open_plugin(&found));
    *plugin = found;
    return {};
}

namespace {

// The plugin, and how many GPUs it sees; an error where there is none.
Status with_devices(const CudaPlugin** plugin, int* n) {
    *n = 0;
    FR_RETURN_IF_ERROR(cuda_plugin(plugin));
    std::string why;
    *n = (*plugin)->device_count(&why);
    return *n > 0 ? Status() : Status(Code::runtime, why);
}

}  // namespace

Status cuda_device_count(int* n) {
    const CudaPlugin* plugin = nullptr;
    return with_devices(&plugin, n);
}

Status cuda_device_name(int device, std::string* name) {
    int n = 0;
    const CudaPlugin* plugin = nullptr;
    FR_RETURN_IF_ERROR(with_devices(&plugin, &n));
    if (device < 0 || device >= n)
        return invalid("device must be from 0 to " + std::to_string(n - 1) + ", got " + std::to_string(device));
    *name = plugin->device_name(device);
    return {};
}

Status cuda_backend(Precision precision, const Backend** backend) {
    int n = 0;
    const CudaPlugin* plugin = nullptr;
    FR_RETURN_IF_ERROR(with_devices(&plugin, &n));
    *backend = plugin->precision[int(precision)];
    return {};
}

Status cuda_host_arrays(const Backend** backend) {
    int n = 0;
    const CudaPlugin* plugin = nullptr;
    FR_RETURN_IF_ERROR(with_devices(&plugin, &n));
    *backend = plugin->host_arrays;
    return {};
}

Status cuda_device_of(const void* memory, int* device) {
    const CudaPlugin* plugin = nullptr;
    FR_RETURN_IF_ERROR(cuda_plugin(&plugin));
    *device = plugin->callers->device_of(memory);
    return {};
}

Status cuda_order(CudaStream first, CudaStream second) {
    const CudaPlugin* plugin = nullptr;
    FR_RETURN_IF_ERROR(cuda_plugin(&plugin));
    return plugin->callers->order(first, second);
}

Status CudaCall::begin(CudaStream stream, void* clock) {
    FR_RETURN_IF_ERROR(cuda_plugin(&plugin_));
    FR_RETURN_IF_ERROR(plugin_->callers->begin(stream, clock));
    open_ = true;
    return {};
}

Status CudaCall::end() {
    open_ = false;
    return plugin_->callers->end();
}

CudaCall::~CudaCall() {
    if (open_) (void)end().ok();
}

std::string cuda_summary() {
#if defined(FASTREG_HAVE_CUDA)
    return "built for " FASTREG_CUDA_NOTE;
#else
    return "not built: " FASTREG_CUDA_NOTE;
#endif
}

}  // namespace fastreg
