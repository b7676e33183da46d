import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { TrainingHistory } from '../train/logs/history.js';
import { escapeHtml } from '../train/html.js';
import { imageDataUri, scriptJson, scriptText } from '../train/logs/html.js';
import { MetricsFile } from '../train/logs/metrics_file.js';
import { TrainingReport } from '../train/logs/report.js';
import { type Chart, chartsOf } from '../train/logs/report_charts.js';
import { sample, stepEvent, validationEvent } from './support/training_events.js';

const png = Buffer.from('\x89PNG\r\n\x1a\n0000', 'latin1');
const hostile = `<script>alert("x")</script><img src=x onerror='alert(1)'>\u0000\u202e&amp;`;

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'report-'));
  path = join(folder, 'report.html');
});
afterEach(() => rmSync(folder, { recursive: true }));

const page = () => readFileSync(path, 'utf8');
const options = { title: 'a run', configuration: 'seed: 1\n' };

function chartsOfPage(): Chart[] {
  const [, json] = /<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(page())!;
  return JSON.parse(json!) as Chart[];
}

function chart(charts: readonly Chart[], title: string): Chart {
  return charts.find((one) => one.title === title)!;
}

function historyOf(steps: number): TrainingHistory {
  const history = new TrainingHistory();
  for (let step = 1; step <= steps; step++) history.addStep(stepEvent(step, { loss: step }));
  return history;
}

describe('report', () => {
  test('is written at each validation and at the end', async () => {
    const report = await TrainingReport.open(path, options);
    report.step(stepEvent(1));
    expect(readdirSync(folder)).toEqual([]);
    const event = validationEvent(1, [sample({ image: png }), sample({ text: 'hullo' })]);
    await report.validation({ ...event, unreadable: 3 });
    expect(page()).toContain('Still training');
    expect(page()).toContain('Validation at step 1; unreadable images: 3.');
    expect(page()).toContain('1 of 2 are read right');
    expect(page()).toMatch(/<figure class="right">.*✓ right.*<figure class="wrong">.*✗ wrong/s);
    expect(page()).toContain(`<img src="data:image/png;base64,${png.toString('base64')}"`);
    report.step(stepEvent(2));
    await report.end({ step: 2, reason: 'failed', message: `lost the device ${hostile}` });
    expect(page()).toContain('Failed');
    expect(page()).toContain('lost the device &lt;script&gt;');
    expect(chart(chartsOfPage(), 'Loss').steps).toEqual([1, 2]);
    expect(readdirSync(folder)).toEqual(['report.html']);
  });

  test('of a run without steps says so', async () => {
    await (await TrainingReport.open(path, options)).end({ step: 0, reason: 'stopped' });
    expect(page()).toContain('No step was done.');
    expect(page()).toContain('No validation was done.');
    expect(chartsOfPage()).toEqual([]);
  });

  test('lets no text become markup', async () => {
    const report = await TrainingReport.open(path, { title: hostile, configuration: `name: ${hostile}\n` });
    const long = `${hostile}${'x'.repeat(10_240)}`;
    report.step(stepEvent(1));
    const event = validationEvent(1, [
      sample({ label: hostile, text: long, source: `${hostile}.png`, image: Buffer.from(hostile) }),
      sample({ label: long, text: long, source: long }),
    ]);
    const sets = [
      { ...event.combined, name: hostile },
      { ...event.combined, name: `${hostile}2` },
    ];
    await report.validation({ ...event, sets });
    await report.end({ step: 1, reason: 'complete' });
    const html = page();
    expect(html).not.toContain('<script>alert');
    expect(html).not.toContain('<img src=x');
    expect(html).not.toContain('\u0000');
    expect(html).not.toContain('x'.repeat(400));
    expect(html.match(/<script/g)).toHaveLength(3);
    expect(html.match(/<\/script/g)).toHaveLength(3);
    expect(chart(chartsOfPage(), 'Accuracy').series.map(({ label }) => label)).toContain(hostile);
  });

  test('needs nothing from outside, and runs only its own scripts', async () => {
    await (await TrainingReport.open(path, options)).end({ step: 0, reason: 'complete' });
    const html = page();
    const [, policy] = /Content-Security-Policy" content="([^"]+)"/.exec(html)!;
    expect(policy).toContain("default-src 'none'");
    const scripts = [...html.matchAll(/<script(?: type="module")?>(.*?)<\/script>/gs)].map(
      ([, code]) => code!,
    );
    expect(scripts).toHaveLength(2);
    for (const code of scripts) {
      expect(policy).toContain(`'sha256-${createHash('sha256').update(code).digest('base64')}'`);
      expect(code).not.toContain('sourceMappingURL');
    }
    expect(scripts[0]).toContain('uPlot');
    expect(scripts[1]).not.toMatch(/^import /m);
    expect(html).not.toMatch(/<(?:link|iframe)|src="http/);
  });

  test('of a resumed run shows what came before', async () => {
    const metricsPath = join(folder, 'metrics.jsonl');
    const metrics = await MetricsFile.open(metricsPath);
    for (let step = 1; step <= 6; step++) await metrics.step(stepEvent(step));
    await metrics.validation(validationEvent(2));
    await metrics.validation(validationEvent(6));
    await metrics.end();
    const report = await TrainingReport.open(path, {
      ...options,
      history: await TrainingHistory.read(metricsPath, 4),
    });
    report.step(stepEvent(5, { loss: 77 }));
    await report.end({ step: 5, reason: 'complete' });
    const loss = chart(chartsOfPage(), 'Loss');
    expect(loss.steps).toEqual([1, 2, 3, 4, 5]);
    expect(loss.series.at(-1)!.values.at(-1)).toBe(77);
    expect(chart(chartsOfPage(), 'Accuracy').steps).toEqual([2]);
  });

  test('of a resumed run keeps the sample readings until there are new ones', async () => {
    const first = await TrainingReport.open(path, options);
    await first.validation(validationEvent(1, [sample({ text: 'early -->' })]));
    const resumed = { ...options, history: historyOf(1) };
    await (await TrainingReport.open(path, resumed)).end({ step: 1, reason: 'stopped' });
    expect(page()).toContain('1 are read right at the last validation');
    expect(page()).toContain('early --&gt;');
    const again = await TrainingReport.open(path, resumed);
    await again.validation(validationEvent(2, [sample({ text: 'newest' })]));
    expect(page()).not.toContain('early');
    expect(page()).toContain('newest');
    // They are of step 2, behind which this one goes on.
    await (await TrainingReport.open(path, resumed)).end({ step: 1, reason: 'stopped' });
    expect(page()).not.toContain('newest');
    await again.end({ step: 2, reason: 'stopped' });
    expect(page()).toContain('newest');
    await (await TrainingReport.open(path, options)).end({ step: 0, reason: 'stopped' });
    expect(page()).not.toContain('newest');
  });

  test('in a folder that is not there is an error that names it', async () => {
    const report = await TrainingReport.open(join(folder, 'none', 'report.html'), options);
    await expect(report.end({ step: 0, reason: 'complete' })).rejects.toThrow('report.html: no such file');
  });
});

describe('curves', () => {
  test.each([1, 2, 1999, 2000, 2001, 4001, 9000])(
    'of %i steps have at most 2000 points and lose none',
    (steps) => {
      const { groups } = historyOf(steps);
      expect(groups.length).toBeLessThanOrEqual(2000);
      expect(groups.length).toBeGreaterThanOrEqual(Math.min(steps, 1000));
      expect(groups[0]!.firstStep).toBe(1);
      expect(groups.at(-1)!.lastStep).toBe(steps);
      expect(groups.map(({ firstStep }) => firstStep)).toEqual([
        1,
        ...groups.slice(0, -1).map(({ lastStep }) => lastStep + 1),
      ]);
      expect(groups.map((group) => [group.steps, group.loss])).toEqual(
        groups.map(({ firstStep, lastStep }) => [
          lastStep - firstStep + 1,
          { mean: (firstStep + lastStep) / 2, least: firstStep, most: lastStep },
        ]),
      );
    },
  );

  test('leave out what is not finite', () => {
    const history = new TrainingHistory();
    history.addStep(stepEvent(1, { loss: NaN, skipped: true }));
    history.addStep(stepEvent(2, { loss: 0.5, crossLoss: undefined }));
    const loss = chart(chartsOf(history), 'Loss');
    expect(loss.series.map(({ label, values }) => [label, values])).toEqual([
      [
        'visual branch',
        [stepEvent(1), stepEvent(2)].map(({ visualLoss }) => Number(visualLoss.toPrecision(6))),
      ],
      ['cross branch', [Number(stepEvent(1).crossLoss!.toPrecision(6)), null]],
      ['total', [null, 0.5]],
    ]);
    const visual = new TrainingHistory();
    visual.addStep(stepEvent(1, { loss: NaN, crossLoss: undefined }));
    expect(chart(chartsOf(visual), 'Loss').series.map(({ label }) => label)).toEqual(['visual branch']);
  });

  test('are begun again where steps are done again', () => {
    const history = historyOf(10);
    history.addValidation(validationEvent(4));
    history.addValidation(validationEvent(8));
    history.addStep(stepEvent(6, { loss: 60 }));
    expect(history.groups.map(({ lastStep }) => lastStep)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(history.groups.at(-1)!.loss!.mean).toBe(60);
    expect(history.validations.map(({ step }) => step)).toEqual([4]);
    history.addValidation(validationEvent(4));
    expect(history.validations.map(({ step }) => step)).toEqual([4]);
    expect(history.best!.step).toBe(4);
  });

  test('of groups with the same learning rates are one', () => {
    const { series } = chart(chartsOf(historyOf(3)), 'Learning rate');
    expect(series.map(({ label }) => label)).toEqual(['groups 1, 2', 'group 3']);
  });
});

describe('HTML', () => {
  test('text', () => {
    expect(escapeHtml(`<a b="c" d='e'>&\u0007\n`)).toBe(
      '&lt;a b=&quot;c&quot; d=&#39;e&#39;&gt;&amp;\ufffd\n',
    );
  });

  test('scripts cannot be ended from inside', () => {
    const code = 'const texts = ["</script>", "<!--", "</SCRIPT "];';
    expect(scriptText(code)).not.toMatch(/<\/script|<!--/i);
    expect(runInNewContext(`${scriptText(code)} texts.join(' ')`)).toBe('</script> <!-- </SCRIPT ');
    expect(scriptJson({ '</script>': '<!--' })).not.toContain('<');
    expect(JSON.parse(scriptJson({ '</script>': '<!--' }))).toEqual({ '</script>': '<!--' });
  });

  test.each([
    ['\xff\xd8\xff\xe0', 'image/jpeg'],
    ['\x89PNG\r\n\x1a\n', 'image/png'],
    ['GIF89a', 'image/gif'],
    ['RIFF\n\r\0\0WEBP', 'image/webp'],
    ['\0\0\0\x1cftypavif', 'image/avif'],
    ['BM\0\0\0\0\0\0\0\0\0\0\0\0', 'image/bmp'],
    ['II*\0', undefined],
    ['<svg xmlns="http://www.w3.org/2000/svg">', undefined],
    ['', undefined],
  ])('images are known by their first bytes: %j', (start, type) => {
    const bytes = Buffer.from(start, 'latin1');
    expect(imageDataUri(bytes)).toBe(type && `data:${type};base64,${bytes.toString('base64')}`);
  });
});
