// tuf-js as released: prints what came of it as JSON. Flags as python_tuf_client.py.
const fs = require('fs');
const path = require('path');
const { parseArgs } = require('util');
const { Updater } = require(path.join(process.env.COUNTERSIGN_NPM, 'node_modules', 'tuf-js'));

const { values: flags, positionals: targets } = parseArgs({
  allowPositionals: true,
  options: Object.fromEntries(['state', 'root', 'metadata', 'targets', 'out'].map((name) => [name, { type: 'string' }])),
});

async function run() {
  const result = { files: {} };
  const trusted = path.join(flags.state, 'root.json');
  if (!fs.existsSync(trusted)) fs.copyFileSync(flags.root, trusted);
  try {
    const updater = new Updater({
      metadataDir: flags.state, metadataBaseUrl: flags.metadata, targetDir: flags.out, targetBaseUrl: flags.targets,
      config: { fetchRetry: 0 },
    });
    await updater.refresh();
    for (const target of targets) {
      const info = await updater.getTargetInfo(target);
      result.files[target] = info ? await updater.downloadTarget(info) : null;
    }
  } catch (error) {
    result.error = error.constructor.name;
    result.message = String(error.message);
  }
  return result;
}

run().then((result) => console.log(JSON.stringify(result)));
