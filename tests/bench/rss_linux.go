package main

// rssUnit is what Rusage.Maxrss counts in.
const rssUnit = 1 << 10
