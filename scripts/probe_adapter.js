// Prints one JSON line: the default WebGPU adapter ({"adapter": "llvmpipe ..."}), or why there is none.
const print = (found) => console.log(JSON.stringify({ adapter: null, loadError: null, ...found }));

let webgpu = null;
try {
  webgpu = await import('webgpu');
} catch (error) {
  print({ loadError: error.message });
}

if (webgpu !== null) {
  const adapter = await webgpu.create([]).requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) {
    print({});
  } else {
    // An adapter whose device cannot be opened is of no use, so the device is part of the question.
    (await adapter.requestDevice()).destroy();
    const { description, device, vendor } = adapter.info;
    const kind = adapter.info.isFallbackAdapter ? ' (software)' : '';
    print({ adapter: `${description || device || vendor}${kind}` });
  }
}
