// SPDX-License-Identifier: Apache-2.0
//
// A process that crashes leaves its memory nowhere: there are keys, tokens and faces in it.
#pragma once

namespace ferment {

/// No core file, and none through a program that the system has for them (systemd-coredump), from here on and in
/// children. Call early in main. `prlimit --core=unlimited --pid PID` undoes it for a process that is to be looked
/// into.
void LeaveNoCoreFile();

}  // namespace ferment
