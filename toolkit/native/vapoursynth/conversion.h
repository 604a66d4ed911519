// Choice of the conversion for a clip's type of samples and an engine's type of values.
#pragma once
#include "VapourSynth4.h"
#include "samples.h"

// The value of white in a clip: the largest integer, or 1.
inline double white_of(const VSVideoFormat& format) {
  return format.sampleType == stFloat ? 1.0 : static_cast<double>((1u << format.bitsPerSample) - 1);
}

// Calls `action` with a sample of the clip's type.
template <class Action>
void with_sample(const VSVideoFormat& format, Action action) {
  if (format.sampleType == stFloat) return action(float());
  if (format.bytesPerSample == 1) return action(std::uint8_t());
  return action(std::uint16_t());
}

// Calls `action` with a value of a port's type and the distance of neighbours.
template <class Action>
void with_value(const rt4ksr_port& port, Action action) {
  using One = std::integral_constant<int, 1>;
  using Three = std::integral_constant<int, 3>;
  const bool apart = port.interleaved && port.channels == 3;
  if (port.bytes == 1) return apart ? action(std::uint8_t(), Three()) : action(std::uint8_t(), One());
  return apart ? action(float(), Three()) : action(float(), One());
}
