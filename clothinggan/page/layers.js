// Computes a generator, layer by layer. It runs in a worker, so that the page answers while it computes.
//
// What goes from layer to layer is a Float32Array: row by row, in a row pixel by pixel, in a pixel channel by
// channel. A layer says its sizes, and has its weights: `vectors`, such as its bias, and `weights`, its kernel.
"use strict";

/** Adds the product of a pixel, at `a` in x, and a matrix, at `m` in weights, to the pixel at `b` in y. */
function addProduct(x, a, channels, weights, m, y, b, filters) {
  if (filters === 1) {
    let sum = 0;
    for (let i = 0; i < channels; i++) sum += x[a + i] * weights[m + i];
    y[b] += sum;
    return;
  }
  // Nearly all time is spent here. With four channels at once, y is read and written a quarter as often.
  let i = 0;
  for (; i + 3 < channels; i += 4) {
    const x0 = x[a + i], x1 = x[a + i + 1], x2 = x[a + i + 2], x3 = x[a + i + 3];
    if (x0 === 0 && x1 === 0 && x2 === 0 && x3 === 0) continue; // ReLU leaves many such.
    const m0 = m + i * filters, m1 = m0 + filters, m2 = m1 + filters, m3 = m2 + filters;
    for (let o = 0; o < filters; o++) {
      y[b + o] += x0 * weights[m0 + o] + x1 * weights[m1 + o] + x2 * weights[m2 + o] + x3 * weights[m3 + o];
    }
  }
  for (; i < channels; i++) {
    for (let o = 0; o < filters; o++) y[b + o] += x[a + i] * weights[m + i * filters + o];
  }
}

/** Features whose every pixel is the bias. */
function biased(pixels, bias) {
  const y = new Float32Array(pixels * bias.length);
  for (let at = 0; at < y.length; at += bias.length) y.set(bias, at);
  return y;
}

const erf = (x) => {
  // Abramowitz and Stegun 7.1.26: right to 1.5e-7.
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
};
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

const activations = {
  elu: ({ slope }) => (x) => (x > 0 ? x : slope * Math.expm1(x)),
  exponential: () => Math.exp,
  gelu: () => (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  mish: () => (x) => x * Math.tanh(softplus(x)),
  relu: ({ slope, threshold, most }) => (x) =>
    x < threshold ? slope * (x - threshold) : Math.min(x, most ?? Infinity),
  selu: () => (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  sigmoid: () => sigmoid,
  silu: () => (x) => x * sigmoid(x),
  softplus: () => softplus,
  softsign: () => (x) => x / (1 + Math.abs(x)),
  tanh: () => Math.tanh,
};

const merges = {
  add: (a, b) => a + b,
  maximum: Math.max,
  minimum: Math.min,
  multiply: (a, b) => a * b,
  subtract: (a, b) => a - b,
};

const operations = {
  dense({ rows, channels, filters, vectors: [bias], weights }, x) {
    const y = biased(rows, bias);
    for (let row = 0; row < rows; row++) {
      addProduct(x, row * channels, channels, weights, 0, y, row * filters, filters);
    }
    return y;
  },

  /** A convolution; or a transposed one, which is the same with input and output in each other's place. */
  convolve({ transposed, from, to, kernel, strides, dilation, before, vectors: [bias], weights }, x) {
    const channels = from[2], filters = to[2];
    const y = biased(to[0] * to[1], bias);
    // A pixel (i, j) of the coarse side meets the kernel's (u, v) at the pixel (r, c) of the fine side.
    const [coarse, fine] = transposed ? [from, to] : [to, from];
    for (let u = 0; u < kernel[0]; u++) {
      for (let v = 0; v < kernel[1]; v++) {
        const matrix = (u * kernel[1] + v) * channels * filters;
        for (let i = 0; i < coarse[0]; i++) {
          const r = i * strides[0] + u * dilation[0] - before[0];
          if (r < 0 || r >= fine[0]) continue;
          for (let j = 0; j < coarse[1]; j++) {
            const c = j * strides[1] + v * dilation[1] - before[1];
            if (c < 0 || c >= fine[1]) continue;
            const here = i * coarse[1] + j, there = r * fine[1] + c;
            const a = channels * (transposed ? here : there), b = filters * (transposed ? there : here);
            addProduct(x, a, channels, weights, matrix, y, b, filters);
          }
        }
      }
    }
    return y;
  },

  upsample({ from: [height, width, channels], to: [rows, columns], bilinear }, x) {
    const y = new Float32Array(rows * columns * channels);
    // Between which two of the old pixels a new one lies, and how near to the second.
    const between = (at, size, old) => {
      if (!bilinear) return [Math.floor((at * old) / size), 0, 0];
      const place = Math.min(Math.max(((at + 0.5) * old) / size - 0.5, 0), old - 1);
      return [Math.floor(place), Math.min(Math.floor(place) + 1, old - 1), place % 1];
    };
    for (let r = 0; r < rows; r++) {
      const [top, bottom, down] = between(r, rows, height);
      for (let c = 0; c < columns; c++) {
        const [left, right, across] = between(c, columns, width);
        for (let k = 0; k < channels; k++) {
          const pixel = (row, column) => x[(row * width + column) * channels + k];
          const above = (1 - across) * pixel(top, left) + across * pixel(top, right);
          const below = (1 - across) * pixel(bottom, left) + across * pixel(bottom, right);
          y[(r * columns + c) * channels + k] = (1 - down) * above + down * below;
        }
      }
    }
    return y;
  },

  /** Puts an image into a larger one of zeros, or cuts a smaller one out. */
  place({ from: [height, width, channels], to: [rows, columns], before: [top, left] }, x) {
    const y = new Float32Array(rows * columns * channels);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns; c++) {
        const i = r - top, j = c - left;
        if (i < 0 || i >= height || j < 0 || j >= width) continue;
        const at = (i * width + j) * channels;
        y.set(x.subarray(at, at + channels), (r * columns + c) * channels);
      }
    }
    return y;
  },

  scaleAndShift({ vectors: [scale, shift] }, x) {
    return x.map((value, i) => value * scale[i % scale.length] + shift[i % scale.length]);
  },

  prelu({ vectors: [slopes] }, x) {
    return x.map((value, i) => (value > 0 ? value : slopes[i] * value));
  },

  activate(layer, x) {
    return x.map(activations[layer.name](layer));
  },

  merge({ name }, ...several) {
    return several.reduce((x, y) => x.map((value, i) => merges[name](value, y[i])));
  },

  /** Puts blocks of several features behind each other, a block of each in turn. */
  concatenate({ count, blocks }, ...several) {
    const y = new Float32Array(several.reduce((sum, x) => sum + x.length, 0));
    for (let turn = 0, at = 0; turn < count; turn++) {
      several.forEach((x, n) => {
        y.set(x.subarray(turn * blocks[n], (turn + 1) * blocks[n]), at);
        at += blocks[n];
      });
    }
    return y;
  },
};

/** The numbers of a text in Base64. */
function decode(text) {
  const characters = atob(text.trim());
  const bytes = new Uint8Array(characters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes.buffer;
}

/** The value of 16 bits: a sign, 5 bits of the exponent, 10 of the fraction (IEEE 754). */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}

const halves = Float32Array.from({ length: 2 ** 16 }, (_, bits) => half(bits));

/** Gives layers their weights: all vectors stand first, in float32, then all kernels, in float16. */
function withWeights(layers, buffer) {
  let vector = 0;
  let kernel = 4 * layers.flatMap((layer) => layer.vectors).reduce((sum, length) => sum + length, 0);
  return layers.map((layer) => {
    const vectors = layer.vectors.map((length) => {
      vector += 4 * length;
      return new Float32Array(buffer, vector - 4 * length, length);
    });
    const weights = Float32Array.from(new Uint16Array(buffer, kernel, layer.numbers), (bits) => halves[bits]);
    kernel += 2 * layer.numbers;
    return { ...layer, vectors, weights };
  });
}

/** Draws the image of a latent vector: 28 rows of 28 numbers from 0, black, to 1, white. */
function draw({ layers, endsInTanh }, vector) {
  const results = [vector];
  for (const layer of layers) results.push(operations[layer.op](layer, ...layer.takes.map((n) => results[n])));
  return results.at(-1).map((value) => Math.min(Math.max(endsInTanh ? (value + 1) / 2 : value, 0), 1));
}

const generators = new Map(); // by their file's number

onmessage = ({ data: { file, generator, weights, vector } }) => {
  if (generator) {
    generators.set(file, { ...generator, layers: withWeights(generator.layers, decode(weights)) });
    return;
  }
  const start = performance.now();
  const image = draw(generators.get(file), vector);
  postMessage({ image, milliseconds: performance.now() - start });
};
