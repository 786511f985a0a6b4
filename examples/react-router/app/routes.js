import { route } from '@react-router/dev/routes'

export default [route('signup', 'routes/signup.js'), route('broken', 'routes/broken.js')]
