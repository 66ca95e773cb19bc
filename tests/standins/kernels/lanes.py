# Given to kernels/lanes.py when kernels run as plain Python for mutation tests: the vector
# instructions in words. Ties go to the lowest place, as there.


def _plain_accumulate(width):
    def accumulate(out, rows, item, quantity, start, stop, column):
        out[column : column + width] = 0.0
        for holding in range(start, stop):
            row = rows[item[holding], column : column + width]
            out[column : column + width] += quantity[holding] * row

    return accumulate


def _plain_worst(width):
    def worst(rows, item, quantity, start, stop, column, taint):
        sums, doubt = np.zeros(width), 0.0
        for holding in range(start, stop):
            sums += quantity[holding] * rows[item[holding], column : column + width]
            doubt += quantity[holding] * taint[item[holding]]
        at = int(sums.argmax())
        return sums[at], column + at, doubt

    return worst


accumulate_8, accumulate_64 = _plain_accumulate(8), _plain_accumulate(64)
worst_8, worst_32, worst_64 = _plain_worst(8), _plain_worst(32), _plain_worst(64)


def fma(x, y, z):
    # Two roundings here instead of one: far below the tolerance of any test.
    return x * y + z


def largest_64(row, column):
    return row[column : column + 64].max()


def not_below_64(row, column, least):
    # Not "at least": a NaN is not below anything, so its bit is set.
    kept = ~(row[column : column + 64] < least)
    return np.uint64(sum(1 << j for j in range(64) if kept[j]))


def lowest_bit(bits):
    word = int(bits)
    return (word & -word).bit_length() - 1 if word else 64
