// SPDX-License-Identifier: Apache-2.0
// The same as weir-control's GET /api/v1/videos/{id}, as one would write it with Express and Mongoose.
// usage: server.mjs MONGODB-URI SEED COUNT     fills an empty database with the first videos of SEED, prints its port, serves.
import fs from 'node:fs';
import readline from 'node:readline';
import express from 'express';
import mongoose from 'mongoose';

const [uri, seed, count] = process.argv.slice(2);
await mongoose.connect(uri);

const schema = new mongoose.Schema({
  _id: String,
  title: { type: String, required: true },
  summary: String,
  kind: String,
  categories: [String],
  tags: [String],
  language: String,
  audio: [String],
  subtitles: [String],
  duration_ms: Number,
  length: String,
  height: Number,
  tier: String,
  age: Number,
  state: String,
  published: Date,
  created: Date,
  updated: Date,
  rev: Number,
}, { versionKey: false });
schema.index({ published: 1 });
const Video = mongoose.model('Video', schema);

if (await Video.estimatedDocumentCount() === 0) {
  let videos = [];
  let left = Number(count);
  for await (const line of readline.createInterface({ input: fs.createReadStream(seed) })) {
    const [collection, text] = line.split('\t', 2);
    if (collection !== 'videos' || left-- <= 0) continue;
    const { id, published_ms, created_ms, updated_ms, ...rest } = JSON.parse(text);
    videos.push({ ...rest, _id: id, published: new Date(published_ms), created: new Date(created_ms), updated: new Date(updated_ms) });
    if (videos.length === 1000) {
      await Video.insertMany(videos);
      videos = [];
    }
  }
  if (videos.length > 0) await Video.insertMany(videos);
}

const app = express();
app.disable('x-powered-by');
app.disable('etag'); // it would be computed of each answer
app.get('/api/v1/videos/:id', async (req, res) => {
  const video = await Video.findById(req.params.id).lean();
  if (!video || video.state !== 'published') return res.status(404).json({ error: { code: 'VIDEO_NOT_FOUND', message: 'there is no such video', details: {} } });
  const { _id, ...rest } = video;
  return res.json({ id: _id, ...rest });
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => server.close(() => mongoose.disconnect().then(() => process.exit(0))));
