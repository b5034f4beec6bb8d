// All kernels for one instruction set; see vector.inl for what must be defined.
#include "vector.inl"
#include "scan.inl"
#include "scan_gradient.inl"
#include "gate.inl"

inline const Kernels kernels = {
    {scan_tasks, scan},
    {scan_gradient_tasks, scan_gradient},
    {convolution_tasks, convolution},
    {cross_scan_tasks, cross_scan},
    {cross_scan_gradient_tasks, cross_scan_gradient},
    {gate_tasks, gate},
};

#undef INLINE
#undef TARGET
#undef LANES
