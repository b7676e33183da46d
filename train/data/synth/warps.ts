/** Bends of text. All take x to the right and y upwards from the baseline, except where pixels are said. */
import type { Warp } from './outline.js';

/**
 * Bends the baseline into a circle through the point above `middle`.
 * @param angle of the whole arc in radians; above 0 the middle is highest, as on a badge's upper rim
 * @param length of the baseline that makes up the angle
 */
export function arc(middle: number, length: number, angle: number): Warp {
  const radius = length / angle;
  return eachPoint((x, y) => {
    const turned = (x - middle) / radius;
    return [middle + (radius + y) * Math.sin(turned), (radius + y) * Math.cos(turned) - radius];
  });
}

/** Moves letters up and down like a flag. */
export function wave(amplitude: number, wavelength: number, phase: number): Warp {
  return eachPoint((x, y) => [x, y + amplitude * Math.sin((2 * Math.PI * x) / wavelength + phase)]);
}

/** Makes letters in the middle taller (`amount` above 0) or lower than those at the ends, on a straight baseline. */
export function bulge(middle: number, length: number, amount: number): Warp {
  return eachPoint((x, y) => {
    const fromMiddle = (2 * (x - middle)) / length;
    return [x, y * (1 + amount * (0.5 - fromMiddle * fromMiddle))];
  });
}

/** Stretches, slants and turns: `[a, c; b, d]` times each point. */
export function linear(a: number, b: number, c: number, d: number): Warp {
  return eachPoint((x, y) => [a * x + c * y, b * x + d * y]);
}

export function rotation(angle: number): Warp {
  return linear(Math.cos(angle), Math.sin(angle), -Math.sin(angle), Math.cos(angle));
}

/**
 * Looks at the plane from the side.
 * @param towardsX how much nearer things come per unit of x, around `middleX`; beyond the horizon nothing is drawn
 */
export function perspective(middleX: number, middleY: number, towardsX: number, towardsY: number): Warp {
  return eachPoint((x, y) => {
    const [dx, dy] = [x - middleX, y - middleY];
    const depth = Math.max(0.3, 1 + towardsX * dx + towardsY * dy);
    return [middleX + dx / depth, middleY + dy / depth];
  });
}

export function moved(dx: number, dy: number): Warp {
  return eachPoint((x, y) => [x + dx, y + dy]);
}

/** From text, y upwards, to pixels, y downwards. */
export function toPixels(scale: number, left: number, top: number): Warp {
  return eachPoint((x, y) => [x * scale - left, -y * scale - top]);
}

function eachPoint(move: (x: number, y: number) => readonly [number, number]): Warp {
  return (points) => {
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = move(points[i]!, points[i + 1]!);
      points[i] = x;
      points[i + 1] = y;
    }
  };
}
