// Package pace keeps what this program takes of its host within a contract: so
// much of one processor while others are busy, so much memory.
//
// A Keeper holds back the child processes that it is told of. Where the program
// may make groups of its own in a version 2 control group tree, the kernel
// does it (cpu.max, memory.max); elsewhere the keeper measures what the program
// and its children take and stops and continues the children (SIGSTOP,
// SIGCONT), so that the mean is right. What nobody else uses is not part of the
// contract: half of it may be taken on top, unless the kernel's pressure
// figures (PSI) say that others wait.
//
// With no child the keeper sleeps, and costs nothing.
package pace
