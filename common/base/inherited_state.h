// SPDX-License-Identifier: Apache-2.0
//
// What a program may have from whoever started it and cannot work with.
#pragma once

namespace ferment {

/// Puts /dev/null where standard input, output or error is closed, or the next file that is opened would be written to
/// by every line of the log. Lets signals come and ended children be waited for, whatever whoever started this program
/// had blocked, and where it ignored SIGCHLD; signals that are ignored, as under nohup, stay so. Lets a write past a
/// limit on a file's size (`ulimit -f`) fail, in place of ending the process. Call first in main.
void MendInheritedState();

}  // namespace ferment
