// SPDX-License-Identifier: Apache-2.0
// The same as weir-control's GET /api/v1/videos/{id}, as one would write it with Express and Mongoose.
// usage: server.mjs MONGODB-URI COUNT     fills an empty database, prints its port, serves.
import express from 'express';
import mongoose from 'mongoose';

const [uri, count] = process.argv.slice(2);
await mongoose.connect(uri);

const schema = new mongoose.Schema({
  _id: String,
  title: { type: String, required: true },
  duration_ms: Number,
  height: Number,
  audio: [String],
  subtitles: [String],
  created: Date,
  updated: Date,
}, { versionKey: false });
schema.index({ created: 1 });
const Video = mongoose.model('Video', schema);

if (await Video.estimatedDocumentCount() === 0) {
  for (let first = 0; first < Number(count); first += 1000) {
    const videos = [];
    for (let i = first; i < Math.min(first + 1000, Number(count)); i++) {
      videos.push({ _id: `film-${i}`, title: `Film ${i}`, duration_ms: 5400000, height: 1080, audio: ['en'],
        subtitles: ['de', 'en'], created: new Date(), updated: new Date() });
    }
    await Video.insertMany(videos);
  }
}

const app = express();
app.disable('x-powered-by');
app.get('/api/v1/videos/:id', async (req, res) => {
  const video = await Video.findById(req.params.id).lean();
  if (!video) return res.status(404).json({ error: { code: 'VIDEO_NOT_FOUND', message: 'there is no such video', details: {} } });
  const { _id, ...rest } = video;
  return res.json({ id: _id, ...rest });
});
const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.on('SIGTERM', () => server.close(() => mongoose.disconnect().then(() => process.exit(0))));
