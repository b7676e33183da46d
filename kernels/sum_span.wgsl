// Terms that one running sum takes before it is added to an outer sum and starts anew. Of like terms each addition to a
// long sum is rounded the same way, by up to 2^-24 of the sum: n of them are off by up to n / 2^25, two levels of sums by
// the terms of a span and the number of spans instead.
const sum_span = 128u;
